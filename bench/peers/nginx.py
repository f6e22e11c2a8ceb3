"""nginx as a plain reverse proxy: the yardstick. It does none of a gateway's work: no keys, models or accounting."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from bench.peers.base import Peer

# Unbuffered in both directions and without logs: the cheapest nginx that still relays a stream event by event.
# The buffer sizes let a small request and answer pass in one read and one write each.
CONFIG = """\
daemon off;
worker_processes {workers};
pid {directory}/nginx.pid;
error_log /dev/null crit;
worker_rlimit_nofile 20000;
events {{ worker_connections 8192; multi_accept on; }}
http {{
  access_log off;
  tcp_nodelay on;
  keepalive_timeout 600s;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  client_body_buffer_size 64k;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  upstream mock {{
    server 127.0.0.1:{upstream};
    keepalive 2048;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096{reuseport};
    location / {{
      proxy_pass http://mock;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_request_buffering off;
      proxy_read_timeout 600s;
    }}
  }}
}}
"""


class Nginx(Peer):
    name = "nginx"

    @classmethod
    def available(cls) -> str:
        return "" if shutil.which("nginx") else "no `nginx` on the PATH"

    def version(self) -> str:
        text = subprocess.run(["nginx", "-v"], stderr=subprocess.PIPE, text=True, check=True).stderr
        return text.strip().rpartition("/")[2]

    def command(self, directory: Path, upstream: int, workers: int) -> list[str]:
        # With one worker SO_REUSEPORT would change nothing; with two it spreads connections as fastgw's workers do.
        reuseport = " reuseport" if workers > 1 else ""
        config = directory / "nginx.conf"
        config.write_text(
            CONFIG.format(workers=workers, directory=directory, upstream=upstream, port=self.port, reuseport=reuseport)
        )
        return ["nginx", "-e", f"{directory}/error.log", "-p", str(directory), "-c", str(config)]
