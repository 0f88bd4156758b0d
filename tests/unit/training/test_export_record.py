"""What run.json says of how a model came about."""

from training.export.record import _earlier_commands


def test_the_commands_of_earlier_runs_come_first() -> None:
    summary = {
        "command": "train caption",
        "start": {
            "from": "caption/attention",
            "command": "train attention",
            "start": {"from": "words/flickr8k", "command": "train words"},
        },
    }
    assert list(_earlier_commands(summary).values()) == ["train words", "train attention"]
    assert _earlier_commands({"start": {}}) == {}
    assert _earlier_commands({"start": {"encoder": "torchvision:resnet50"}}) == {}
