"""One training run: a frozen config in, a result out.

    task.py → data.py ─┐
    model.py ──────────┼→ run.py → loop.py: train(TrainConfig) → TrainResult
    augment.py, schedule.py, tuners.py, optimizer.py, device.py

Nothing is imported here, so that reading a configuration never pays for torch.
"""
