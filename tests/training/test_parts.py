"""A batch in parts has the gradient of the whole, for every method."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from hkd.data.image_set import ImageBatch
from hkd.training.checkpoint import Checkpoints
from hkd.training.costs import images_that_fit, step_cost
from hkd.training.loop import Conduct, fitted, train
from hkd.training.parts import Division, Indivisible, Part
from hkd.training.trainer import TooLarge, Trainer

BATCH = 8


@given(batch=st.integers(1, 600), ranks=st.integers(1, 9), largest=st.none() | st.integers(1, 700))
def test_the_parts_of_all_processes_are_the_batch_once(batch, ranks, largest):
    if batch % ranks:
        with pytest.raises(Indivisible, match=rf"training.batch {batch} .* {ranks} processes; start \d"):
            Division(batch, largest, 0, ranks)
        return
    rows = [part for rank in range(ranks) for part in Division(batch, largest, rank, ranks).rows()]
    assert [index for part in rows for index in range(batch)[part]] == list(range(batch))
    sizes = [part.stop - part.start for part in rows]
    assert max(sizes) <= (largest or batch) and min(sizes) >= 1 and max(sizes) - min(sizes) <= 1


def test_a_part_is_halved_down_to_one_image():
    division, sizes = Division(12), []
    while True:
        sizes.append(max(rows.stop - rows.start for rows in division.rows()))
        try:
            division = division.halved()
        except Indivisible as error:
            assert "single image" in str(error)
            break
    assert sizes == [12, 6, 3, 1]


def test_parts_drop_out_different_values(tiny_run, build, feed):
    """Else a batch of one image, repeated, would have one mask."""
    run = tiny_run("methods/edm", training={"batch": BATCH}, network={"dropout": 0.5})
    trainer, masks = Trainer(build(run), run.training, seed=0), []
    trainer.method.losses = lambda batch, step, draws: (  # type: ignore[method-assign]
        masks.append(torch.rand(4)),
        {"student": sum(p.sum() for p in trainer.method.student.parameters())},
    )[1]
    trainer._gradients([Part(0, 0.5, None), Part(4, 0.5, None)], 1)
    trainer._gradients([Part(0, 1.0, None)], 1)
    assert not torch.equal(masks[0], masks[1]) and torch.equal(masks[0], masks[2])


def test_a_device_without_room_gets_smaller_parts_and_the_step_is_made_once(tiny_run, build, feed, tmp_path, capsys):
    run = tiny_run("methods/edm", training={"batch": BATCH, "steps": 3}, network={"dropout": 0.0})
    batches, sizes = feed(run), []

    def narrow(step: int, rows: slice = slice(0, BATCH)):
        sizes.append(rows.stop - rows.start)
        if sizes[-1] > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return batches(step, rows)

    cut, whole = (Trainer(build(run), run.training, seed=0) for _ in range(2))
    train(cut, narrow, Checkpoints(tmp_path / "cut", "x"), title="t")
    train(whole, batches, Checkpoints(tmp_path / "whole", "x"), title="t")
    assert sizes == [8, 4] + 4 * [2] * 3
    assert "t: out of memory; parts of 2 images from here on" in capsys.readouterr().err
    assert cut.progress.network_evals == whole.progress.network_evals == 3 * BATCH
    for name, value in whole.averaged().items():
        assert_close(cut.averaged()[name], value, rtol=1e-3, atol=1e-5)


def test_a_device_that_holds_no_image_is_said_in_one_line(tiny_run, build, tmp_path):
    run = tiny_run("methods/edm", training={"batch": 2})

    def never(step: int, rows: slice | None = None):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(Indivisible, match="cannot hold a single image"):
        train(Trainer(build(run), run.training, seed=0), never, Checkpoints(tmp_path, "x"), title="t")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        MemoryError(),
    ],
    ids=["device", "host", "library", "python"],
)
def test_memory_that_runs_out_anywhere_in_a_pass_halves_the_parts(tiny_run, build, feed, tmp_path, error, capsys):
    run = tiny_run("methods/edm", training={"batch": BATCH, "steps": 1})
    trainer, batches = Trainer(build(run), run.training, seed=0), feed(run)
    losses = trainer.method.losses

    def narrow(batch, **more):
        if len(batch) > 4:
            raise error
        return losses(batch, **more)

    trainer.method.losses = narrow  # type: ignore[method-assign]
    train(trainer, batches, Checkpoints(tmp_path, "x"), title="t")
    assert "t: out of memory; parts of 4 images from here on" in capsys.readouterr().err


def test_any_other_error_halves_nothing(tiny_run, build, tmp_path):
    run = tiny_run("methods/edm", training={"batch": 2})

    def wrong(step: int, rows: slice | None = None):
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        train(Trainer(build(run), run.training, seed=0), wrong, Checkpoints(tmp_path, "x"), title="t")


def test_a_batch_that_must_stay_whole_is_not_halved_where_there_is_no_room(tiny_run, build, tmp_path):
    run = tiny_run("methods/kdm", training={"batch": 4})

    def full(step: int, rows: slice | None = None):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(Indivisible, match=r"cannot hold the whole batch of 4 images.*lower training.batch"):
        train(Trainer(build(run), run.training, seed=0), full, Checkpoints(tmp_path, "x"), title="t")


def test_a_method_whose_loss_needs_the_whole_batch_gets_it(tiny_run, build, feed, tmp_path):
    run = tiny_run("methods/kdm", training={"steps": 1})
    batches, seen = feed(run), []

    def watched(step: int, rows: slice = slice(None)):
        seen.append(rows)
        return batches(step, rows)

    conduct = Conduct(micro_batch=1)
    train(Trainer(build(run), run.training, seed=0), watched, Checkpoints(tmp_path, "x"), title="t", conduct=conduct)
    assert seen == [slice(None)]


def test_bytes_and_operations_are_proportional_to_images_and_known_without_memory(tiny_run, build, feed):
    run = tiny_run("methods/edm", training={"batch": 16})
    method, batches = build(run).train(), feed(run)
    before = {key: value.clone() for key, value in method.state_dict().items()}
    few, many = (step_cost(method, batches(0, slice(0, n)), batches(0, slice(0, m))) for n, m in ((1, 2), (5, 16)))
    assert many.kept == pytest.approx(few.kept, rel=0.03) and many.flops == pytest.approx(few.flops, rel=0.01)
    assert few.kept > 0 and few.flops > 0
    nowhere = [ImageBatch(torch.empty(n, 3, 8, 8, device="meta"), None) for n in (1, 2)]
    elsewhere = step_cost(build(run).train().to("meta"), *nowhere)
    # attention alone keeps other things where it is no CPU
    assert elsewhere.kept == pytest.approx(few.kept, rel=0.1) and elsewhere.flops == few.flops
    assert all(torch.equal(value, before[key]) for key, value in method.state_dict().items())
    assert all(p.grad is None for p in method.parameters())


def test_a_step_is_not_made_where_there_is_no_room(tiny_run, build):
    run = tiny_run("methods/edm")
    trainer = Trainer(build(run), run.training, seed=0)

    def none():
        raise torch.OutOfMemoryError("CUDA out of memory")
        yield

    with pytest.raises(TooLarge):
        trainer.step_in_parts(none())
    assert trainer.progress.step == 0 and all(p.grad is None for p in trainer.method.parameters())


def test_what_fits_is_what_is_left_beside_weights_and_moments(tiny_run, build, feed):
    run = tiny_run("methods/edm", training={"batch": 4})
    method = build(run).train()
    cost = step_cost(method, feed(run)(0, slice(0, 1)), feed(run)(0))
    trained = 4 * sum(p.numel() for p in method.student.parameters())
    assert images_that_fit(cost, method, 0) == 1
    free = int((7 * trained + 1.3 * (10.5 * cost.kept + cost.fixed)) / 0.9)
    assert images_that_fit(cost, method, free) == 10


def test_a_cost_is_counted_before_networks_are_graphs_and_a_card_without_room_for_two_takes_one(
    tiny_run, build, feed, monkeypatch
):
    run = tiny_run("methods/edm", training={"batch": BATCH})
    trainer, batches = Trainer(build(run), run.training, seed=0), feed(run)
    monkeypatch.setattr(trainer, "device", torch.device("cuda", 0))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (int(1e9), int(1e9)))
    found = fitted(trainer, batches, Conduct(), "t")
    assert found.micro_batch == BATCH and trainer.flops is not None and trainer.flops > 0
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (0, int(1e9)))
    assert fitted(trainer, batches, Conduct(), "t").micro_batch == 1
    assert fitted(trainer, batches, Conduct(micro_batch=3), "t").micro_batch == 3

    def none(*arguments, **options):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as other:
        other.setattr("hkd.training.loop.step_cost", none)
        assert fitted(trainer, batches, Conduct(), "t").micro_batch == 1
    assert fitted(trainer, none, Conduct(), "t").micro_batch == 1
