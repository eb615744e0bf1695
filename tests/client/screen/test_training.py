import pytest

from weightcast_client.screen.training import TrainingScreen

ROW = {"loss": 1.0, "accuracy": 50.0}


def test_what_is_left_of_a_training_counts_small_epochs_as_small(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with TrainingScreen([1, 1, 4, 4], 0) as screen:
        for epoch, seconds in ((1, 60.0), (2, 60.0), (3, 240.0), (4, 240.0)):
            screen.start(epoch)
            screen.report(1, 2, 1.0, 50.0)
            screen.end(ROW | {"epoch": epoch, "seconds": seconds})
    lines = [line for line in capsys.readouterr().err.splitlines() if "left" in line]
    assert [line.split(", ")[-1] for line in lines] == [f"{n} min left" for n in (9, 8, 4, 0)]


def test_a_resumed_training_is_timed_by_the_epochs_of_this_process(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with TrainingScreen([1, 1, 4, 4], 2) as screen:
        screen.start(3)
        screen.end(ROW | {"epoch": 3, "seconds": 120.0})
    assert "epoch 3/4: loss 1.0000, accuracy 50.00 %, 120 s, 2 min left" in capsys.readouterr().err
