"""Where usage events go, one Struct per destination. ``kind`` tells them apart."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta

from fastgw.resources.base import IMPLIED, NOT_NULL, Document, Flaw, Name120, Share, Text

ContentMode = Literal["metadata_only", "full"]
ContentBytes = Annotated[int, Meta(ge=1, le=1048576, extra={"format": "uint32"})]
OtlpEndpoint = Annotated[
    str, Meta(pattern=r"^https://.+|^http://(mock-otlp|otel-collector|127\.0\.0\.1|localhost)(:[0-9]+)?(/.*)?$")
]
SlsEndpoint = Annotated[
    str,
    Meta(pattern=r"^[a-z0-9][a-z0-9.-]*\.aliyuncs\.com$|^http://(mock-sls|127\.0\.0\.1|localhost)(:[0-9]+)?$"),
]
StoreEndpoint = Annotated[
    str,
    Meta(
        pattern=r"^https://.+|^http://(minio|azurite|fake-gcs-server|fake-gcs|127\.0\.0\.1|localhost)(:[0-9]+)?(/.*)?$"
    ),
]
DatadogSite = Annotated[
    str,
    Meta(
        pattern=r"^(datadoghq\.com|us3\.datadoghq\.com|us5\.datadoghq\.com|datadoghq\.eu|ap1\.datadoghq\.com"
        r"|ap2\.datadoghq\.com|ddog-gov\.com)$|^(mock-datadog|127\.0\.0\.1|localhost)(:[0-9]+)?$"
    ),
]


class ExporterBase(Document, frozen=True, kw_only=True, tag_field="kind"):
    name: Name120
    enabled: bool = True

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"


class OtlpHttpExporter(ExporterBase, frozen=True, kw_only=True, tag="otlp_http"):
    endpoint: OtlpEndpoint
    headers: Annotated[dict[str, str], IMPLIED] = {}
    sample_rate: Annotated[Share | None, NOT_NULL] = None
    content_mode: ContentMode = "metadata_only"
    content_max_bytes: ContentBytes = 131072


class AliyunSlsExporter(ExporterBase, frozen=True, kw_only=True, tag="aliyun_sls"):
    endpoint: SlsEndpoint
    project: Text
    logstore: Text
    credential_ref: Text
    content_mode: ContentMode = "metadata_only"
    content_max_bytes: ContentBytes = 131072


class ObjectStoreExporter(ExporterBase, frozen=True, kw_only=True, tag="object_store"):
    provider: Literal["s3", "gcs", "azure_blob"]
    bucket: Text
    prefix: Text
    credential_ref: Annotated[Text | None, NOT_NULL] = None
    auth_mode: Literal["credential_ref", "cloud_identity"] = "credential_ref"
    region: Annotated[Text | None, NOT_NULL] = None
    endpoint: Annotated[StoreEndpoint | None, NOT_NULL] = None
    compression: Literal["gzip", "none"] = "gzip"

    @classmethod
    def rules(cls, document: Mapping[str, Any], strict: bool) -> Iterable[Flaw]:
        """A credential, or a cloud whose identity there is."""
        if document.get("auth_mode") != "cloud_identity":
            if "credential_ref" not in document:
                yield Flaw("", "missing required field `credential_ref`")
        elif document["provider"] == "azure_blob":
            yield Flaw("/provider", "`auth_mode` `cloud_identity` needs `s3` or `gcs`")


class DatadogExporter(ExporterBase, frozen=True, kw_only=True, tag="datadog"):
    """``ddsource`` None: ``<namespace>-ai-gateway``."""

    site: DatadogSite
    credential_ref: Text
    service: Text
    ddsource: Annotated[Text | None, NOT_NULL] = None
    tags: tuple[str, ...] = ()
    content_mode: ContentMode = "metadata_only"
    content_max_bytes: ContentBytes = 131072


Exporter = OtlpHttpExporter | AliyunSlsExporter | ObjectStoreExporter | DatadogExporter
