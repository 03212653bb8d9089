"""The options of a training run, shared by the job itself and by the command that submits it."""

from collections.abc import Callable
from typing import Annotated, Final

import typer
from pydantic import BaseModel, ConfigDict

from app.errors import ParameterError

DATA: Final = "Data"
FOREST: Final = "Forest"
SYNTHETIC: Final = "Synthetic data (sets the forest too)"


class TrainOptions(BaseModel):
    """What a training run is asked to do; None stands for the default that `app.train` decides.

    Raises:
        ParameterError: From `check`, where two options exclude each other.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str | None = None
    data: str | None = None
    target: str | None = None
    synthetic: bool = False
    width: int | None = None
    height: int | None = None
    steps: int | None = None
    trees: int | None = None
    max_depth: int | None = None
    max_features: float | None = None
    test_size: float = 0.2
    seed: int = 42

    def check(self) -> None:
        """Refuse options that exclude each other, before anything is read or submitted."""
        sources = [flag(name) for name in ("dataset", "data", "synthetic") if getattr(self, name)]
        if len(sources) > 1:
            raise ParameterError(
                f"{' and '.join(sources)} were given together.", allowed="one source of data", next_step="Drop one."
            )
        if (self.data is None) != (self.target is None):
            raise ParameterError(
                "--data and --target belong together.", next_step="Give the file and its column of labels."
            )
        excluded = ("trees", "max_depth", "max_features") if self.synthetic else ("width", "height", "steps")
        given = [flag(name) for name in excluded if getattr(self, name) is not None]
        if given:
            raise ParameterError(
                f"{', '.join(given)} cannot be used {'with' if self.synthetic else 'without'} --synthetic.",
                next_step="--width, --height and --steps set both synthetic data and forest; --trees, --max-depth "
                "and --max-features set the forest for every other data.",
            )

    def argv(self) -> list[str]:
        """The command line that gives these options again."""
        words: list[str] = []
        for name, value in self.model_dump(exclude_defaults=True).items():
            words += [flag(name)] if value is True else [flag(name), str(value)]
        return words


def flag(name: str) -> str:
    """The option's name on the command line."""
    return "--" + name.replace("_", "-")


def command(run: Callable[[TrainOptions], None], *, help_text: str) -> Callable[..., None]:
    """Make a command that takes every training option and hands them, checked, to `run`."""

    def train(
        dataset: Annotated[
            str | None,
            typer.Option(help="Bundled real data: breast-cancer, digits or wine.", rich_help_panel=DATA),
        ] = None,
        data: Annotated[
            str | None,
            typer.Option(help="CSV or Parquet file: path, http(s) URL or dvc:PATH@REV.", rich_help_panel=DATA),
        ] = None,
        target: Annotated[
            str | None, typer.Option(help="Column of --data that holds the labels.", rich_help_panel=DATA)
        ] = None,
        test_size: Annotated[
            float, typer.Option(min=0.01, max=0.99, help="Share of the rows held out.", rich_help_panel=DATA)
        ] = TrainOptions().test_size,
        trees: Annotated[
            int | None, typer.Option(min=1, max=10_000, help="Trees; 100 by default.", rich_help_panel=FOREST)
        ] = None,
        max_depth: Annotated[
            int | None, typer.Option(min=1, max=1_000, help="Levels a tree; no limit.", rich_help_panel=FOREST)
        ] = None,
        max_features: Annotated[
            float | None,
            typer.Option(min=0.01, max=1, help="Share of features a split; square root.", rich_help_panel=FOREST),
        ] = None,
        seed: Annotated[
            int, typer.Option(min=0, max=2**32 - 1, help="Of split and forest.", rich_help_panel=FOREST)
        ] = TrainOptions().seed,
        synthetic: Annotated[  # noqa: FBT002 - a flag on the command line
            bool, typer.Option("--synthetic", help="Make a two-class problem.", rich_help_panel=SYNTHETIC)
        ] = False,
        width: Annotated[
            int | None,
            typer.Option(min=1, max=10_000, help="Trees, at least 10; 50 by default.", rich_help_panel=SYNTHETIC),
        ] = None,
        height: Annotated[
            int | None,
            typer.Option(min=1, max=1_000, help="Levels, at least 2; 25 by default.", rich_help_panel=SYNTHETIC),
        ] = None,
        steps: Annotated[
            int | None,
            typer.Option(min=0, max=100_000, help="Rows and features; 100 by default.", rich_help_panel=SYNTHETIC),
        ] = None,
    ) -> None:
        options = TrainOptions(
            dataset=dataset,
            data=data,
            target=target,
            synthetic=synthetic,
            width=width,
            height=height,
            steps=steps,
            trees=trees,
            max_depth=max_depth,
            max_features=max_features,
            test_size=test_size,
            seed=seed,
        )
        options.check()
        run(options)

    train.__doc__ = help_text
    return train
