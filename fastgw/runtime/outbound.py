"""The supervisor's own requests: key sets of identity providers and access tokens for upstreams."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from fastgw.core.bodies import BodyTooLong, whole
from fastgw.core.headers import user_agent
from fastgw.core.proxies import Proxies
from fastgw.core.urls import origin

if TYPE_CHECKING:
    import aiohttp

    from fastgw.config.schema import OutboundTls

FETCH_SECONDS = 5.0
MAX_DOCUMENT = 512 * 1024


class FetchError(Exception):
    """The document could not be had; the text says why, without any of its content."""


class Reply(NamedTuple):
    """An answer of whatever status."""

    status: int
    retry_after: str | None
    body: bytes


class Fetcher:
    """Asks over HTTP with the deployment's trust, as `agent`. The client is loaded with the first request."""

    def __init__(self, tls: "OutboundTls", proxies: Proxies | None = None, agent: str = user_agent("fastgw")) -> None:
        self._tls = tls
        self._agent = agent
        self._proxies = proxies
        self._session: aiohttp.ClientSession | None = None

    async def get(self, address: str) -> bytes:
        """The body of a 200. Raises FetchError for everything else."""
        reply = await self._ask("GET", address)
        if reply.status != 200:
            raise FetchError(f"status {reply.status}")
        return reply.body

    async def post(self, address: str, form: Mapping[str, str]) -> Reply:
        """Send a form. Raises FetchError when there is no complete answer."""
        return await self._ask("POST", address, form)

    async def close(self) -> None:
        """Give back the connections."""
        if self._session is not None:
            await self._session.close()

    async def _ask(self, method: str, address: str, form: Mapping[str, str] | None = None) -> Reply:
        import aiohttp

        try:
            place = origin(address)
            proxy = self._proxies.leading_to(*place) if self._proxies is not None else None
            pass_on = {"proxy-authorization": proxy.authorization} if proxy is not None and proxy.authorization else {}
            async with self._client().request(
                method,
                address,
                data=form,
                allow_redirects=False,
                proxy=proxy.url if proxy is not None else None,
                proxy_headers=pass_on,
                # Without a tunnel the proxy reads the request itself.
                headers=pass_on if place.scheme == "http" else None,
            ) as answer:
                return Reply(answer.status, answer.headers.get("retry-after"), await whole(answer, MAX_DOCUMENT))
        except BodyTooLong:
            raise FetchError("the document is too large") from None
        except TimeoutError:
            raise FetchError("no complete answer in time") from None
        except (aiohttp.ClientError, ValueError, OSError) as error:
            raise FetchError(f"{type(error).__name__}: {error}") from None

    def _client(self) -> "aiohttp.ClientSession":
        if self._session is None:
            import aiohttp

            from fastgw.upstream.tls import build_context

            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=build_context(self._tls)),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=FETCH_SECONDS),
                headers={"accept": "application/json", "user-agent": self._agent},
            )
        return self._session
