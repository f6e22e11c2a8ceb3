"""The life of a request, top to bottom.

    authenticate   who is calling                      gateway/authenticate.py
    receive        the body, within its limit          gateway/receive.py
    decode         what is asked for                   endpoints/<family>.py
    resolve        which target, and may the caller    gateway/resolve.py
    dispatch       attempts until one answers          gateway/dispatch.py
      translate      the upstream's request and answer   providers/, _speedups/
      relay          the answer on its way back          gateway/relay.py
    account        what it used; metrics, access line  gateway/account.py

What goes wrong in a stage is raised as a GatewayError and ends the pipeline; `serve` (endpoints/serve.py) turns it
into an answer.
"""

from collections.abc import Callable

from fastgw.gateway.authenticate import authenticate, by_key
from fastgw.gateway.call import Call
from fastgw.gateway.dispatch import dispatch
from fastgw.gateway.exchange import Exchange
from fastgw.gateway.receive import ready, receive
from fastgw.gateway.resolve import resolve

Decode = Callable[[Exchange, bytes], Call]


async def run(ex: Exchange, decode: Decode) -> None:
    """Serve one call of an operation that goes to a model."""
    by_key(ex) or await authenticate(ex)
    ex.counted = True
    call = decode(ex, ready(ex) or await receive(ex))
    ex.stream = call.stream
    ex.operation = call.operation
    target = resolve(ex, call.model)
    await dispatch(ex, call, target)
