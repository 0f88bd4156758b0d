"""Reads a typed configuration from flags, environment and a TOML file, in that order of precedence.

The schema is a frozen pydantic model whose fields carry their meaning, unit and range as attribute
docstrings; those docstrings are the ``--help`` text. An unknown key is an error in every source
except the environment, where other programs' variables are none of our business.
"""

import argparse
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_settings import (
    BaseSettings,
    CliSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

_SERVICE_LINK = re.compile(r"(tcp|udp|sctp)://\S+:[0-9]+")
"""What Kubernetes puts into <SERVICE>_PORT for every Service of a namespace, like Docker's links: a
Service called quartet-metrics sets QUARTET_METRICS_PORT."""


class Config(BaseModel):
    """Base of every configuration section: frozen, no unknown keys, documented by docstrings."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )
    flag_aliases: ClassVar[Mapping[str, str]] = {}
    """Other names of flags, without dashes in front: flag -> alias."""


class ConfigError(ValueError):
    """A configuration that cannot be used. Stops the process; never reaches a client."""


ConfigT = TypeVar("ConfigT", bound=Config)


def load_config(
    schema: type[ConfigT],
    argv: Sequence[str],
    *,
    prog: str,
    description: str = "",
    env_prefix: str | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> ConfigT:
    """Build ``schema`` from ``argv``, then the environment, then the file named by ``--config``.

    Flags may be written with underscores for dashes, as KServe does (``--model_name=m``). Of the
    environment, addresses that Kubernetes puts there for Services are no values.

    Args:
        schema: the configuration class; nested sections become dotted flags (``--optimizer.lr``).
        argv: the command line after the command's own words.
        prog: program name shown by ``--help``.
        description: first paragraph of ``--help``.
        env_prefix: prefix of environment variables (sections joined by ``__``); None reads none.
        defaults: values, nested as the schema is, that stand in for the schema's own defaults.

    Raises:
        ConfigError: a value is unknown or out of range; the text names each key and what it wants.
        SystemExit: ``--help`` was asked for, or a flag does not exist (status 2, as argparse does).
    """
    file_parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    file_parser.add_argument("--config", type=Path, default=None)
    file_args, flags = file_parser.parse_known_args(_with_dashes(argv))
    try:
        sources = _settings_class(schema, flags, prog, description, env_prefix, file_args.config)
        loaded = sources(**(defaults or {}))
    except ValidationError as error:
        raise ConfigError(explain(error)) from error
    except SettingsError as error:
        raise ConfigError(f'{error}: expected JSON, for instance ["a", "b"] for a list') from error
    return schema.model_validate({name: getattr(loaded, name) for name in schema.model_fields})


def _with_dashes(argv: Sequence[str]) -> list[str]:
    """The same flags, spelt with dashes; their values are left alone."""

    def dashed(argument: str) -> str:
        name, equals, value = argument.partition("=")
        return name.replace("_", "-") + equals + value

    return [dashed(a) if a.startswith("--") else a for a in argv]


def _settings_class(
    schema: type[Config],
    flags: list[str],
    prog: str,
    description: str,
    env_prefix: str | None,
    file: Path | None,
) -> type[BaseSettings]:
    """A settings class with ``schema``'s fields and the three sources bound to it."""
    if file is not None:
        _check_toml(file)

    class Sources(BaseSettings):
        model_config = SettingsConfigDict(
            cli_prog_name=prog,
            cli_kebab_case=True,
            cli_implicit_flags=True,
            cli_avoid_json=True,
            cli_hide_none_type=True,
            cli_shortcuts=schema.flag_aliases,
            env_prefix=env_prefix or "",
            env_nested_delimiter="__",
            extra="forbid",
            use_attribute_docstrings=True,
        )

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            sources: list[PydanticBaseSettingsSource] = [
                CliSettingsSource(settings_cls, cli_parse_args=flags)
            ]
            if env_prefix is not None:
                sources.append(_without_service_links(env_settings))
            if file is not None:
                sources.append(TomlConfigSettingsSource(settings_cls, toml_file=file))
            return (*sources, init_settings)

    help_text = (description or schema.__doc__ or "") + (
        "\n--config FILE reads the same keys from a TOML file; flags win over it."
    )
    return type(schema.__name__, (Sources, schema), {"__doc__": help_text})


def _without_service_links(source: PydanticBaseSettingsSource) -> PydanticBaseSettingsSource:
    if isinstance(source, EnvSettingsSource):
        source.env_vars = {
            name: value
            for name, value in source.env_vars.items()
            if value is None or not _SERVICE_LINK.fullmatch(value)
        }
    return source


def _check_toml(file: Path) -> None:
    """Fail early, by name, on a file that is missing or is not TOML."""
    try:
        with file.open("rb") as stream:
            tomllib.load(stream)
    except FileNotFoundError:
        raise ConfigError(f"--config: no such file: {file}") from None
    except OSError as error:
        raise ConfigError(f"--config: cannot read {file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"--config: {file} is not valid TOML: {error}") from error


def explain(error: ValidationError) -> str:
    """One line a fault: the dotted key, what was wrong, and the value given unless it is secret.

    Secrets are the keys whose name ends in ``_key``: the field's type is not known here.
    """
    lines = []
    for fault in error.errors(include_url=False):
        key = ".".join(str(part) for part in fault["loc"]) or "configuration"
        text = "unknown key" if fault["type"] == "extra_forbidden" else fault["msg"]
        got = "a secret" if key.endswith("_key") else _short(fault["input"])
        lines.append(f"{key}: {text} (got {got})")
    return "; ".join(lines)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
