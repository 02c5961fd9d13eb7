"""The keys of `hydra/sweeper=flatdirs` with their defaults, in Hydra's store of configurations.

A plain node is made in a tenth of the time of a dataclass's, and new names may be set in `params` without a +. Values
are checked in _settings.py.
"""

from __future__ import annotations

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

NODE = OmegaConf.create(
    {
        "_target_": "hydra_plugins.flatdirs_sweeper.sweeper.FlatdirsSweeper",
        # The app's key of a well-known hyperparameter, whose value in the app's configuration is the start, such as
        # optimizer.lr; with a range optimizer.lr:1e-5:1e-1; as a mapping {key, low, high, scale, choices}.
        "lr": None,
        "wd": None,
        "momentum": None,
        "beta1": None,
        "beta2": None,
        "batch_size": None,
        # Further ones under any name: key:low:high, key:low:high:log (linear, logit), key:a|b|c, or a mapping.
        "params": {},
        # Names of hyperparameters that keep their start.
        "fixed": [],
        # maximize or minimize what main returns; null: as the name in the app's optimized_metric has it.
        "direction": None,
        # How many settings are tried; a larger number continues a search.
        "budget": 25,
        # Jobs per batch; null: as many as the launcher runs at once, but a fifth of the budget at most.
        "n_jobs": None,
        # adamw, adam or sgd, whose flat directions are known; auto: as the app's configuration says, else sgd.
        "optimizer": "auto",
        # flatdirs, myrtle, raw, or one of Optuna's: random, tpe, qmc, gp, cmaes.
        "search": "flatdirs",
        # The app's key for its random seed, which each replicate gets a value of its own for; null: left alone.
        "seed": None,
        # true: one setting always gives the same value, so none is tried twice; null: the runs show whether it does.
        "deterministic": None,
        # Name of the study; null: the app's.
        "study": None,
        # A journal file for the study, or a database's URL; null: <study>/journal.log in the folder of the sweeps,
        # which is hydra.sweep.dir as far as it holds no time.
        "storage": None,
        # true: go on with a changed script or configuration.
        "anyway": False,
    }
)
OmegaConf.set_struct(NODE, True)
OmegaConf.set_struct(NODE.params, False)
ConfigStore.instance().store(group="hydra/sweeper", name="flatdirs", node=NODE, provider="flatdirs_sweeper")
