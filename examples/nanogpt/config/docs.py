# a model of the characters of Python's own documentation, small enough for one core
eval_interval = 50
eval_iters = 8
max_iters = 150

batch_size = 16
block_size = 32
n_layer = 2
n_embd = 48

learning_rate = 1e-3
weight_decay = 0.1
warmup_iters = 10
