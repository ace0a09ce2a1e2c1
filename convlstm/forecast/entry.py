"""The entry of the installed command, which can be stopped while it loads its libraries."""

from convlstm.runtime import exits


def main() -> None:
    """Run `convlstm-forecast MODEL FRAMES OUT`."""
    exits.before_loading()
    from convlstm.forecast import command

    command.main()
