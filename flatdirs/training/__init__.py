"""One training run: a frozen TrainConfig in, a TrainResult out.

    task.py, schedule.py, self_tuning.py, optimizer.py, metrics.py   settings, one class per file of conf/
    recipes.py                          what of these a text takes where nothing is chosen
    run_config.py                       TrainConfig and TrainResult
    data_files.py → data.py             images; text.py: characters; dataset.py: what a run needs of either
    augment.py, device.py               what a step needs
    model.py, gpt.py                    the networks
    training_step.py → loop.py: train   the steps and evaluations of a run

Nothing is imported here, so that a configuration is read without torch.
"""
