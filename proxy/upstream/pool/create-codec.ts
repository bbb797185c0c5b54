/** The client codecs with a cluster's settings. */
import type { Connection } from "#lib/connection.ts";
import type { ClientCodec, ClientCodecHandler } from "../../http/codec.ts";
import { createHttp1ClientCodec, type Http1ClientOptions } from "../../http/http1/client-codec.ts";
import type { FieldNames } from "../../http/http1/field-names.ts";
import {
  createHttp2ClientCodec,
  defaultHttp2ClientOptions,
  type Http2ClientOptions,
} from "../../http/http2/client-codec.ts";
import type { HttpConfig } from "../config/cluster-config.ts";

export type CodecFactory = (
  protocol: "http1" | "http2",
  connection: Connection,
  handler: ClientCodecHandler,
) => ClientCodec;

/** `names` is the proxy's cache of field names. */
export function codecFactory(config: HttpConfig, names: FieldNames): CodecFactory {
  const maxResponseHeadersBytes = config.maxResponseHeadersKb * 1024;
  const maxHeadersCount = config.maxResponseHeadersCount;
  const http1: Http1ClientOptions = {
    names,
    maxResponseHeadersBytes,
    maxHeadersCount,
    enableTrailers: config.http1.enableTrailers,
    allowChunkedLength: config.http1.allowChunkedLength,
  };
  const defaults = defaultHttp2ClientOptions;
  const http2: Http2ClientOptions = {
    ...defaults,
    maxConcurrentStreams: config.http2.maxConcurrentStreams ?? defaults.maxConcurrentStreams,
    initialStreamWindowBytes: config.http2.initialStreamWindowSize ?? defaults.initialStreamWindowBytes,
    initialConnectionWindowBytes: config.http2.initialConnectionWindowSize ?? defaults.initialConnectionWindowBytes,
    headerTableBytes: config.http2.hpackTableSize ?? defaults.headerTableBytes,
    maxResponseHeadersBytes,
    maxHeadersCount,
  };
  return (protocol, connection, handler) =>
    protocol === "http2"
      ? createHttp2ClientCodec(connection, handler, http2)
      : createHttp1ClientCodec(connection, handler, http1);
}
