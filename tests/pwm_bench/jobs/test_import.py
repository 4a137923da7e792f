from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from pwm_bench.envs.errors import UsageError
from pwm_bench.gradients.model_inputs import open_model
from pwm_bench.gradients.spec import Comparison
from pwm_bench.gradients.values import critic_of_model
from pwm_bench.jobs import kinds
from pwm_bench.jobs.evaluate import EvaluateSpec
from pwm_bench.jobs.extract import ExtractJob
from pwm_bench.jobs.import_released import ImportJob, ImportSpec
from pwm_bench.jobs.kinds import carry_out
from pwm_bench.jobs.planning import make_arm, open_policies
from pwm_bench.jobs.trained import member_index, trained
from pwm_bench.store.inputs import find_input
from pwm_bench.store.results import Results
from pwm_bench.store.verify import verify
from pwm_bench.world_model.multitask.files import load_model
from tests.pwm_bench.jobs.multitask import TASKS, extraction, make_place
from tests.pwm_bench.pwm import released_files
from tests.pwm_bench.world_model.multitask import factories

HOPPER = (11, 3)  # observation and action


def _spec(path, **fields) -> ImportSpec:
    return ImportSpec(inputs={"checkpoint": find_input(path, "checkpoint")}, **fields)


def _run(spec, results):
    assert carry_out(spec, results).exit_code == 0
    return results.run(spec.study, spec.id)


def test_what_is_told_of_a_checkpoint_is_in_the_record_and_in_the_ids_of_what_reads_it(tmp_path) -> None:
    factories.write_tdmpc2(tmp_path / "old.pt", factories.tiny_weights(), "old")
    results, made = Results(tmp_path), []
    for log_std in ((-10.0, 2.0), (-5.0, 0.5)):
        spec = _spec(tmp_path / "old.pt", tasks=("a", "b", "c"), log_std=log_std, value_limit=20.0)
        values = json.loads(spec.to_json())
        assert kinds.spec_from(values.pop("kind"), values) == spec
        made.append(_run(spec, results))
        record = made[-1].read()
        assert record.spec["log_std"] == list(log_std)
        assert (record.details["model"]["log_std_min"], record.details["model"]["bin_limit"]) == (log_std[0], 20.0)
        assert verify(made[-1]) == []
        model = load_model(find_input(made[-1].path, "model").open())
        assert (model.config.log_std_min, model.config.log_std_max) == log_std
    assert len({run.path.name for run in made}) == 2
    assert len({find_input(run.path, "model").digest for run in made}) == 2
    assert carry_out(spec, results).skipped


def test_an_agent_of_one_task_acts_and_predicts_as_its_formulas_say(tmp_path) -> None:
    content = released_files.write_agent(tmp_path / "agent.pt", *HOPPER)
    run = _run(_spec(tmp_path / "agent.pt", task="hopper", simulator="warp"), Results(tmp_path))
    assert verify(run) == []
    found = trained(run)
    assert (found.about.task, found.about.simulator, found.about.algorithm) == ("hopper", "warp", "pwm")
    assert member_index(found, None, where=run.path) == 0
    obs = torch.randn(1, 20, HOPPER[0])
    z = released_files.encode(content, obs)
    torch.testing.assert_close(found.act(obs), released_files.act(content, z), rtol=1e-5, atol=1e-5)
    spec = Comparison(task="hopper", estimators=("model",), inputs={"model": find_input(run.path, "model")})
    model = open_model(spec, task="hopper", simulator="warp", member=0)
    action = torch.rand(1, 20, HOPPER[1])
    predicted = model.reward_scale * model.model.reward(z, action) + model.reward_shift
    expected = 0.5 + 4.00001**0.5 * released_files.reward(content, z, action)
    torch.testing.assert_close(predicted, expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(UsageError, match="of task 'hopper', not 'ant'"):
        open_model(spec, task="ant", simulator="warp", member=0)
    with pytest.raises(UsageError, match="holds one world model; leave the member out"):
        open_model(spec, task="hopper", simulator="warp", member=1)
    value = critic_of_model(run.path / "model.safetensors", model, member=0, discount=0.99)
    expected = 4.00001**0.5 * released_files.values(content, z[0]).amin(0) + 0.5 / (1.0 - 0.99)
    torch.testing.assert_close(value(z[0]), expected, rtol=1e-5, atol=1e-4)


def test_an_agent_of_one_task_is_evaluated(tmp_path) -> None:
    released_files.write_agent(tmp_path / "agent.pt", *HOPPER)
    results = Results(tmp_path)
    run = _run(_spec(tmp_path / "agent.pt", task="hopper", simulator="warp"), results)
    spec = EvaluateSpec.of(find_input(run.path, "policy"), evaluation_episodes=2, simulator_options={"substeps": 4})
    record = _run(spec, results).read()
    assert (record.status, record.gradient_source) == ("ok", "learned")
    assert record.members[0].final_return < 0


def test_an_agent_of_several_tasks_acts_in_its_world_model_and_others_are_extracted_from_it(tmp_path) -> None:
    place = make_place(tmp_path / "place")
    content = released_files.write_agent(tmp_path / "agent.pt", 5, 1, tasks=2)
    fields = {"task": TASKS[1], "tasks": TASKS, "value_limit": 10.0}
    run = _run(_spec(tmp_path / "agent.pt", **fields), Results(tmp_path))
    assert verify(run) == []
    source = find_input(run.path, "model")
    model, experts = open_policies(find_input(run.path, "policies").open(), source)
    act = make_arm("pwm", model, TASKS[1:], episodes=3, experts=experts)
    obs = torch.randn(1, 3, 5)
    row = content["world_model"]["_task_emb.weight"][1].expand(1, 3, -1)
    z = released_files.encode(content, torch.cat((obs, row), -1))
    torch.testing.assert_close(act(obs), released_files.act(content, z), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(experts.policy.critic(z)[0], released_files.values(content, z[0]), rtol=1e-5, atol=1e-5)
    spec = extraction(place)
    job = ExtractJob(dataclasses.replace(spec, inputs={**spec.inputs, "model": source}))
    assert torch.isfinite(job.advance()["actor_loss"]).all()
    job.close()


def test_what_does_not_fit_a_file_is_named(tmp_path) -> None:
    factories.write_tdmpc2(tmp_path / "model.pt", factories.tiny_weights(), "new")
    released_files.write_agent(tmp_path / "one.pt", *HOPPER)
    released_files.write_agent(tmp_path / "many.pt", 5, 1, tasks=2)
    torch.save([1], tmp_path / "list.pt")

    def error(match: str, file: str, **fields) -> None:
        with pytest.raises(UsageError, match=match):
            ImportJob(_spec(tmp_path / file, **fields))

    error("holds no policy that was trained for one task alone", "model.pt", task="hopper")
    error("does not say what for: give --task NAME", "one.pt")
    error("unknown task 'hoper'", "one.pt", task="hoper", simulator="warp")
    error("--log-std: .* an agent of one task", "one.pt", task="hopper", simulator="warp", log_std=(-10, 2))
    error("unknown task 'walker-run'", "many.pt", task="walker-run", tasks=TASKS, value_limit=10.0)
    error("give --value-limit X", "many.pt", task=TASKS[0], tasks=TASKS)
    error("holds a list and no named weights", "list.pt")
    with pytest.raises(UsageError, match="must be 'checkpoint'"):
        ImportSpec()
