"""Multi-task datasets on the disk: memory-mapped shards, sampled in constant time, and TD-MPC2's chunks."""

from pwm_bench.world_model.dataset.dataset import Dataset, Episode, TaskBatch
from pwm_bench.world_model.dataset.layout import TaskInfo
from pwm_bench.world_model.dataset.samplers import ObservationSampler, PairSampler
from pwm_bench.world_model.dataset.writer import DatasetWriter

__all__ = ["Dataset", "DatasetWriter", "Episode", "ObservationSampler", "PairSampler", "TaskBatch", "TaskInfo"]
