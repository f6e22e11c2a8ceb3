"""What is measured, one adapter file each: nginx the yardstick, fastgw the product, the rest when installed."""

from bench.peers.base import Peer
from bench.peers.fastgw import Fastgw
from bench.peers.litellm import LiteLLM
from bench.peers.nginx import Nginx
from bench.peers.portkey import Portkey

PEERS: tuple[type[Peer], ...] = (Nginx, Fastgw, LiteLLM, Portkey)

__all__ = ["PEERS", "Fastgw", "LiteLLM", "Nginx", "Peer", "Portkey"]
