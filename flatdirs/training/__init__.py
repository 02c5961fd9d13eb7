"""One training run: a frozen TrainConfig in, a TrainResult out.

    task.py, schedule.py, lr_tuners.py, optimizer.py, metrics.py   settings, one class per file of conf/
    records.py                          TrainConfig and TrainResult
    data_files.py → data.py             images
    augment.py, model.py, device.py     what a step needs
    run.py → loop.py: train             the steps and evaluations of a run

Nothing is imported here, so that a configuration is read without torch.
"""
