"""flatdirs as a sweeper of Hydra: `python train.py -m hydra/sweeper=flatdirs hydra.sweeper.lr=optimizer.lr …`.

Hydra imports every plugin into every app, so nothing of flatdirs is imported before a sweep begins. Modules whose names
begin with _ are not looked at by Hydra:

    config.py (the keys) → sweeper.py → _settings.py (what to search, from the app's configuration)
                                     └→ _search.py (batches through the launcher) → _results.py
"""
