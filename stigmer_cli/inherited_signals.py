"""What a process inherits from the one that started it, and what would make it deaf: blocked and ignored signals.

A mask of blocked signals and the ignoring of SIGCHLD survive fork and exec (signal(7)), and some service managers, CI
runners and terminals leave them to their children. With SIGTERM blocked a process cannot be asked to end, with SIGCHLD
blocked or ignored it does not learn that a child has ended.
"""

import signal


def reset_inherited_signals() -> None:
    """Unblock all signals, and give SIGCHLD its default where it is ignored.

    Ignored SIGINT and SIGHUP stay ignored: `command &` in a script and nohup(1) mean it.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
