"""A source of responses: any OpenAI-compatible gateway."""

from __future__ import annotations

import copy
import logging
import os
import string
import threading
from collections.abc import Mapping
from functools import cache, cached_property
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import httpx

from twinbench.calls.exchange import Request, Response, TransportError
from twinbench.errors import UsageError
from twinbench.providers.wire import Exchange, Wire, retry_after_s
from twinbench.routing.session import SESSION_HEADER

if TYPE_CHECKING:
    import openai

MAX_CONNECTIONS = 64
_MAX_SHOWN_CHARACTERS = 300
_LOADING_LOCK = threading.Lock()


class Gateway:
    """Sends requests to a gateway over HTTP, through litellm; threads may share it.

    The body is sent unchanged. litellm builds requests by the model's name (it renames ``max_tokens`` for some, refuses
    a temperature for others, removes cache marks), so it gets the body as ``extra_body``, which the client merges last.
    It adds nothing to the body. Headers that describe the machine are left out (``wire.py``); the usual HTTP headers
    for JSON, the key, the session and ``User-Agent: twinbench`` are sent. One ``fetch`` is one HTTP request: it is
    never repeated. Proxies from the environment are not used.

    Neither litellm nor the OpenAI client ever sees the key, or an answer: the response is what was on the wire.

    Args:
        api_base: such as ``https://openrouter.ai/api/v1``.
        api_key_env: the environment variable with the key; None for a server that needs no key.
        max_connections: at one time.
        environment: where the variable is looked up; default: this process's environment.

    Raises:
        UsageError: the address is not valid, or the key is missing.
    """

    def __init__(
        self,
        api_base: str,
        api_key_env: str | None,
        *,
        max_connections: int = MAX_CONNECTIONS,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.api_base = _check_base(api_base)
        key = (
            None if api_key_env is None else _read_key(api_key_env, os.environ if environment is None else environment)
        )
        self._headers = {"User-Agent": "twinbench", "Accept-Encoding": "identity"}
        self._wire = Wire(max_connections, key)
        self._http = httpx.Client(transport=self._wire, trust_env=False)
        # Added in wire.py, so that no library in between can log it or put it into an error.
        self._authorization = {} if key is None else {"Authorization": f"Bearer {key}"}

    def fetch(self, request: Request, within_s: float) -> Response:
        """Request one completion, once.

        Args:
            request: its body is sent unchanged, its session as a header.
            within_s: the time limit, from connecting to the last byte.

        Raises:
            TransportError: there is no answer.
        """
        body = copy.deepcopy(dict(request.body))
        litellm, client = (
            _litellm(),
            self._client,
        )  # loaded here: that takes seconds the gateway must not be charged for
        with self._wire.exchange(within_s, self._sent_headers(request.session)) as exchange:
            unsent: Exception | None = None
            try:
                litellm.completion(
                    model=f"openai/{body['model']}",
                    messages=copy.deepcopy(body["messages"]),  # litellm changes them
                    extra_body=body,
                    api_base=self.api_base,  # without it litellm strips cache marks
                    api_key="-",
                    client=client,
                    max_retries=0,
                    timeout=within_s,
                )
            except Exception as error:  # noqa: BLE001 - its errors about an answer do not matter here
                unsent = error
        if not exchange.has_ended and unsent is not None:
            raise TransportError(
                f"litellm did not send the request: {type(unsent).__name__}: {str(unsent)[:_MAX_SHOWN_CHARACTERS]}",
                may_be_billed=exchange.sent,
                latency_s=0.0,
            ) from None
        return _response(exchange)

    def fetch_models(self, within_s: float) -> Response:
        """Request the list of models (``/models``), which is free of charge.

        Raises:
            TransportError: there is no answer.
        """
        with self._wire.exchange(within_s, self._sent_headers()) as exchange:
            self._http.get(f"{self.api_base}/models", headers={"Accept": "application/json"})
        return _response(exchange)

    def close(self) -> None:
        """Close every connection."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Gateway({self.api_base!r})"

    @cached_property
    def _client(self) -> openai.OpenAI:
        import openai

        http: Any = self._http  # openai 3 only declares httpx2, but accepts httpx like openai 2
        return openai.OpenAI(api_key="-", base_url=self.api_base, http_client=http, max_retries=0)

    def _sent_headers(self, session: str | None = None) -> dict[str, str]:
        of_session = {} if session is None else {SESSION_HEADER: session}
        return {**self._headers, **self._authorization, **of_session}


def _response(exchange: Exchange) -> Response:
    if exchange.status is None:
        what = exchange.failure or "nothing was sent"
        raise TransportError(what, may_be_billed=exchange.sent, latency_s=exchange.latency_s)
    return Response(exchange.status, exchange.body, retry_after_s(exchange.answer_headers), exchange.latency_s)


def _litellm() -> ModuleType:
    """Return litellm with its output switched off; the first call takes seconds."""
    with _LOADING_LOCK:  # it has circular imports: threads that import it at the same time may see an incomplete module
        return _load_litellm()


@cache
def _load_litellm() -> ModuleType:
    # Read when it is imported: its price map from the network, and .env files up to the root of the disk.
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    os.environ["PYTHON_DOTENV_DISABLED"] = "1"
    import litellm

    loaded: ModuleType = litellm
    litellm.suppress_debug_info = True
    litellm.telemetry = False
    litellm.turn_off_message_logging = True
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy", "openai"):
        logging.getLogger(name).disabled = True  # at debug level they log prompts
    return loaded


def _check_base(api_base: str) -> str:
    try:
        parts = urlsplit(api_base)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        parts, usable = urlsplit(""), False
    if not usable:
        shown = "" if "@" in api_base else f" {api_base!r}"  # it may contain a password
        raise UsageError(f"--api-base{shown} is not an address: give one such as https://host/v1")
    if parts.username is not None or parts.query or parts.fragment:
        raise UsageError("--api-base may only have scheme, host, port and path; the key comes from --api-key-env")
    return api_base.rstrip("/")


def _read_key(variable: str, environment: Mapping[str, str]) -> str:
    key = environment.get(variable, "").strip()
    if not key:
        raise UsageError(f"the API key is missing: set the environment variable {variable} (--api-key-env)")
    if not set(key) <= set(string.ascii_letters + string.digits + string.punctuation):
        raise UsageError(
            f"the environment variable {variable} is not an API key: it has spaces or non-ASCII characters"
        )
    return key
