"""The sidecar's process: settings in, everything put together, signals, exit codes.

Exit codes: 0 after a drain, 1 when an error of ours ended it, 2 when it is configured wrongly.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.util
import logging
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from asya.errors import AsyaError, SettingsError
from asya.settings import describe, load, misspelt, process_environment
from asya.transports import open_transport
from asya_sidecar import logs, termination
from asya_sidecar.admittance import enter
from asya_sidecar.carry import Carrier
from asya_sidecar.decide import Actor
from asya_sidecar.link import RuntimeLink
from asya_sidecar.loop import Loop
from asya_sidecar.settings import SidecarSettings
from asya_sidecar.watch import Watch

log = logging.getLogger("asya.sidecar")

USAGE = """usage: asya-sidecar [serve --install FOLDER | install FOLDER | --help]

Serves one actor; everything is set by environment variables (docs/reference/settings.md).

  serve --install FOLDER   copy asya_runtime.py into FOLDER first (a native sidecar, which starts before the runtime)
  install FOLDER           copy it and exit
"""


def main() -> None:
    """Run as a process."""
    arguments = sys.argv[1:]
    environ = process_environment()
    try:
        if arguments[:1] == ["install"] and len(arguments) == 2:
            install(Path(arguments[1]))
            return
        if arguments[:2] == ["serve", "--install"] and len(arguments) == 3:
            install(Path(arguments[2]))
        elif arguments:
            sys.stderr.write(USAGE)
            sys.exit(0 if arguments == ["--help"] else 2)
        settings = load(SidecarSettings, environ)
        logs.set_up(settings.log_level, actor=settings.actor, namespace=settings.transport.namespace)
        for warning in misspelt(SidecarSettings, environ):
            log.warning(warning)
        if failure := _run(settings):
            termination.leave([failure], environ)
            sys.exit(1)
    except SettingsError as error:
        _end(error.problems, environ, 2)
    except InstallError as error:
        _end([str(error)], environ, 1)
    except Exception as error:
        termination.leave([f"the sidecar failed: {type(error).__name__}: {error}"], environ)
        raise


class InstallError(AsyaError):
    """The runtime cannot be put into its folder."""

    code = "install"


def _end(problems: list[str], environ: Mapping[str, str], code: int) -> NoReturn:
    for problem in problems:
        sys.stderr.write(f"asya-sidecar: {problem}\n")
    termination.leave(problems, environ)
    sys.exit(code)


def install(folder: Path) -> None:
    """Copy the runtime into `folder`.

    Raises:
        InstallError: It cannot.
    """
    import shutil  # noqa: PLC0415  not needed to serve

    spec = importlib.util.find_spec("asya_runtime")
    if spec is None or spec.origin is None:
        raise InstallError("asya_runtime.py is not installed beside this package")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Renamed into its place: a runtime that starts while the sidecar does so anew never reads half a file.
        shutil.copyfile(spec.origin, folder / ".asya_runtime.py")
        (folder / ".asya_runtime.py").replace(folder / "asya_runtime.py")
    except OSError as error:
        raise InstallError(f"cannot install into {folder}: {error.strerror}") from error


def _run(settings: SidecarSettings) -> str:
    # Start-up objects live for good; the collector need not look at them again and again.
    gc.collect()
    gc.freeze()
    # What a message leaves behind is freed by counting; at the default of 700 the collector took 4 % of a busy sidecar.
    gc.set_threshold(10_000)
    try:
        import uvloop  # noqa: PLC0415  absent on platforms it does not support

        return uvloop.run(serve(settings))
    except ImportError:
        return asyncio.run(serve(settings))


async def serve(settings: SidecarSettings) -> str:
    """Serve one actor until SIGTERM or SIGINT; return why it failed, empty after a drain."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    log.debug("settings", extra={"settings": describe(settings)})
    async with contextlib.AsyncExitStack() as stack:
        try:
            consumption = await _assemble(settings, stack, stop)
        except SettingsError:
            raise
        except AsyaError as error:
            log.critical("cannot start: %s", error)
            return f"cannot start: {error}"
        if not stop.is_set():
            await stop.wait()
        log.info("stopping: finishing what runs")
        released = await consumption.drain(settings.drain_timeout)
        log.info("stopped", extra={"released": released})
    failure = consumption.failure
    return "" if failure is None else f"stopped by an error: {type(failure).__name__}: {failure}"


async def _assemble(settings: SidecarSettings, stack: contextlib.AsyncExitStack, stop: asyncio.Event) -> Loop:
    actor = Actor(
        name=settings.actor,
        sink=settings.sink,
        sump=settings.sump,
        resiliency=settings.resiliency.resiliency(),
        max_hops=settings.max_hops,
        max_route=settings.max_route,
    )
    transport = open_transport(settings.transport)
    longest, timeout = transport.limits.hold_seconds, actor.resiliency.actor_timeout
    if longest is not None and timeout > longest:
        kept = f"{transport.name} lets a message be held for at most {longest:g} s"
        raise SettingsError([f"ASYA_RESILIENCY_ACTOR_TIMEOUT is {timeout:g} s; {kept}"])
    watch = Watch(settings, actor)
    stack.push_async_callback(watch.close)
    gate = None
    if actor.resiliency.protects:
        from asya_sidecar.gate import Gate  # noqa: PLC0415  only where a limit or a breaker is configured

        gate = Gate(actor, watch.observer)
    carrier = Carrier(
        transport,
        actor,
        destination_wait=settings.destination_wait,
        block=lambda reason, blocked: consumption.block(reason, blocked),  # noqa: PLW0108  it is made further down
        gate=gate,
    )
    reporter = None
    if settings.gateway_url or settings.report_hosts:
        from asya_sidecar.report import HttpReporter  # noqa: PLC0415  h11 is loaded only where something is reported

        reporter = HttpReporter(settings.gateway_url, settings.gateway_token, settings.report_hosts)
        for_reports = reporter

        async def last_words() -> None:
            for receiver in for_reports.all():
                await receiver.flush(2.0)
                await receiver.close()

        stack.push_async_callback(last_words)
    consumption = Loop(
        transport, actor, carrier, reporter, settings, stop.set, observer=watch.observer, tracer=watch.tracer, gate=gate
    )
    link = RuntimeLink(
        settings.socket_dir,
        mode=settings.socket_mode,
        actor=settings.actor,
        namespace=settings.transport.namespace,
        timeout=settings.resiliency.actor_timeout,
        on_capacity=consumption.capacity,
        on_supervisor=consumption.runtime_started,
        on_drain=lambda: _drain_with_runtime(consumption, link, settings.drain_timeout, stop),
    )
    consumption.link = link
    link.registries = watch.registries
    await link.open()
    stack.push_async_callback(link.close)
    await watch.open(consumption, awaited=lambda: link.reason if link.awaited else "")
    opening = asyncio.get_running_loop().create_task(enter(transport))
    stopping = asyncio.get_running_loop().create_task(stop.wait())
    await asyncio.wait((opening, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    stack.push_async_callback(transport.close)
    if opening.done():
        opening.result()
        stack.push_async_callback(consumption.close)
        await consumption.start()
        log.info("serving", extra={"transport": transport.name, "socket": str(settings.socket_dir)})
    else:
        opening.cancel()
    return consumption


def _drain_with_runtime(consumption: Loop, link: RuntimeLink, seconds: float, stop: asyncio.Event) -> None:
    """The runtime's container was asked to stop: finish what runs, tell it, and wait for our own signal."""

    async def drain() -> None:
        if stop.is_set():
            return  # our own drain is under way and says DONE at its end
        await consumption.finish(seconds)
        link.finish()

    task = asyncio.get_running_loop().create_task(drain(), name="drain with the runtime")
    _background.add(task)
    task.add_done_callback(_background.discard)


_background: set[asyncio.Task[None]] = set()


if __name__ == "__main__":
    main()
