"""What is accepted without effect is said."""

from fastgw.config.schema import Config, Metrics, MetricsOtlp, Observability, Proxy
from fastgw.resources.models import ApiKey, Model, ModelRateLimit, OidcProvider, RateLimit, Resources, Row
from fastgw.resources.notices import config_notices, resource_notices


def test_every_field_without_effect_is_named_once() -> None:
    model = Model(display_name="m", provider="p", model_name="n", provider_key_id="k", rate_limit=ModelRateLimit(rpm=1))
    key = ApiKey(key_hash="h", allowed_models=(), rate_limit=RateLimit(rps=1), allowed_agents=("a",))
    resources = Resources(models=(Row("1", model), Row("2", model)), api_keys=(Row("3", key),), source_hash="")
    assert list(resource_notices(resources)) == [
        "models.rate_limit is not enforced in this version (set on 2)",
        "api_keys.rate_limit is not enforced in this version (set on 1)",
        "api_keys.allowed_agents is not enforced in this version (set on 1)",
    ]


def test_a_binding_to_no_provider_is_said() -> None:
    provider = OidcProvider(name="idp", issuer="https://i", audiences=("a",))
    keys = tuple(
        Row(str(index), ApiKey(key_hash=str(index), allowed_models=(), jwt_subject="s", jwt_provider=name))
        for index, name in enumerate(("idp", "pdi", None))
    )
    resources = Resources(api_keys=keys, oidc_providers=(Row("p", provider),), source_hash="")
    assert list(resource_notices(resources)) == ["api_keys.jwt_provider names no OIDC provider that is defined (on 1)"]


def test_nothing_set_nothing_said() -> None:
    key = ApiKey(key_hash="h", allowed_models=("*",))
    assert list(resource_notices(Resources(api_keys=(Row("3", key),), source_hash=""))) == []


def test_switched_on_features_that_are_missing() -> None:
    proxy = Proxy(addr="127.0.0.1:1")
    assert list(config_notices(Config(proxy=proxy))) == []
    metrics = Metrics(otlp=MetricsOtlp(enabled=True))
    notices = list(config_notices(Config(proxy=proxy, observability=Observability(metrics=metrics))))
    assert notices == ["observability.metrics.otlp has no effect in this version"]
