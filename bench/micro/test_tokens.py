"""Token counts of fastgw and of tiktoken on the same text, on one thread."""

# ruff: noqa: RUF001 - Chinese has its own punctuation

from __future__ import annotations

import argparse
import subprocess
import typing
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fastgw.core.tables import load
from tests.support.token_oracle import NAMES, encoding

ENGLISH = (Path(__file__).parents[2] / "LICENSE").read_text(encoding="utf-8")
CODE = "".join(Path(str(module.__file__)).read_text(encoding="utf-8") for module in (argparse, subprocess, typing))
CHINESE = """网关位于所有模型服务的前面。调用者只需要一个地址和一把密钥，其余的事情都由它负责：检查权限、选择上游、
附上凭据、转发回答，并且记录用量。如果上游没有报告令牌数量，网关就自己计算，结果必须与官方的分词器完全一致。
春天的早晨，老人沿着河边慢慢地走，看见几个孩子在树下读书，便停下来听了一会儿，脸上露出了微笑。
"""
JAPANESE = """ゲートウェイは、すべてのモデルの前に立つ一つの入口です。利用者は一つの鍵だけを持ち、権限の確認、
応答の転送、使用量の記録はゲートウェイが行います。
昨日は雨で、家で本を読みながらコーヒーを飲みました。
"""
SHORT = ("hi", "Hello, how are you today?", "What's the weather in Paris?", "SELECT * FROM t WHERE id = 42;")
TEXTS = {"english": [ENGLISH], "code": [CODE], "cjk": [(CHINESE + JAPANESE) * 40], "short": [*SHORT] * 100}


def counters(name: str) -> dict[str, Callable[[str], int]]:
    encode = encoding(name).encode_ordinary
    return {"fastgw": load(name).count, "tiktoken": lambda text: len(encode(text))}


@pytest.mark.parametrize("by", ["fastgw", "tiktoken"])
@pytest.mark.parametrize("topic", TEXTS)
@pytest.mark.parametrize("name", NAMES[:3])
def test_count(benchmark: BenchmarkFixture, name: str, topic: str, by: str) -> None:
    benchmark.group = f"{name} {topic}"
    both, texts = counters(name), TEXTS[topic]
    count = both[by]
    tokens = benchmark(lambda: sum(map(count, texts)))
    benchmark.extra_info["bytes"] = sum(len(text.encode()) for text in texts)
    assert tokens == sum(map(both["tiktoken"], texts))
