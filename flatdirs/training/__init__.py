"""One training run: a frozen TrainConfig in, a TrainResult out.

    task.py, schedule.py, self_tuning.py, optimizer.py, metrics.py   settings, one class per file of conf/
    sweep.py                          TrainConfig and TrainResult
    data_files.py → data.py             images
    augment.py, model.py, device.py     what a step needs
    run.py → loop.py: train             the steps and evaluations of a run

Nothing is imported here, so that a configuration is read without torch.
"""
