"""`stigmer secrets rotate-key`: has the server encrypt all secrets with a new key."""

from stigmer_cli.cli.context import Cli


def rotate_secrets_key(cli: Cli) -> None:
    """Change the key, and print its fingerprint. It is asked for once: a second time would change it again."""
    done = cli.call(lambda client: client.rotate_secrets_key())
    number = "1 secret" if done.secrets == 1 else f"{done.secrets} secrets"
    cli.out.result(done.to_wire(), lambda console: console.print(f"{number} encrypted with the new key {done.key_id}"))
