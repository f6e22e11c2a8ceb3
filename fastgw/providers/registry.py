"""Which wire family speaks for a provider key."""


def wire_family(provider: str, adapter: str | None) -> str | None:
    """The vendor's own family when it has one, else the adapter's; None when neither says."""
    if provider in ("openai", "anthropic"):
        return provider
    return adapter
