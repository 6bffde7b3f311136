"""The command line. Each command imports what it needs: `--help` waits for nothing."""

import typer

from app.cli import data, instances, making, service, training
from app.cli.customers import customer_cli
from app.cli.drift import drift_cli
from app.cli.history import history_cli
from app.cli.keys import key_cli
from app.cli.models import model_cli
from app.cli.work import EXIT_REFUSED, fail
from app.errors import ConfigurationError, ServiceError

cli = typer.Typer(
    name="python -m app",
    help="In-store coupon recommendation: entry and focus events in, one explained coupon out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for command in (
    *(service.serve, service.run, instances.drain, instances.adopt),
    *(data.migrate, data.load, data.export),
    *(
        service.central,
        making.datagen,
        training.train,
        training.package,
        training.evaluate,
        training.compare,
        making.schema,
        service.config,
    ),
):
    cli.command()(command)
cli.add_typer(customer_cli, name="customer")
cli.add_typer(drift_cli, name="drift")
cli.add_typer(history_cli, name="history")
cli.add_typer(key_cli, name="key")
cli.add_typer(model_cli, name="model")


def main() -> None:
    """Run a command; what goes wrong with a name is a sentence and an exit code, not a traceback."""
    try:
        cli()
    except ConfigurationError as error:
        from app.settings import EXIT_CODE

        fail(f"{error}\n", EXIT_CODE)
    except (ServiceError, OSError) as error:
        fail(f"{error}\n", EXIT_REFUSED)
