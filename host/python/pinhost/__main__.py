"""The command `pinhost`: the library behind it is that of the binary of this name."""

import signal
import sys


def main() -> None:
    # The command handles signals itself. Until it does, Ctrl-C ends the process, as it would a binary.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from ._pinhost import main as run

    sys.exit(run(["pinhost", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
