/** The client codecs with a cluster's settings. */
import type { Connection } from "#lib/connection.ts";
import type { Runtime } from "#lib/runtime.ts";
import type { ClientCodec, ClientCodecHandler } from "../../http/codec.ts";
import { createHttp2ClientCodec, type Http2ClientOptions } from "../../http/http2/client-codec.ts";
import { http2Stats } from "../../http/http2/http2-stats.ts";
import { createHttp2Shared } from "../../http/http2/options.ts";
import { createHttp1ClientCodec, type Http1ClientOptions } from "../../http/http1/client-codec.ts";
import { BulkWriter } from "../../http/http1/bulk-writer.ts";
import type { FieldNames } from "../../http/http1/field-names.ts";
import type { StatsScope } from "../../observability/stats.ts";
import type { HttpConfig } from "../config/cluster-config.ts";

export type CodecFactory = (
  protocol: "http1" | "http2",
  connection: Connection,
  handler: ClientCodecHandler,
) => ClientCodec;

/** `names` is the proxy's cache of field names, `scope` the cluster's: `http2.` is made with its first connection. */
export function codecFactory(
  config: HttpConfig,
  names: FieldNames,
  { clock, random }: Runtime,
  scope: StatsScope,
): CodecFactory {
  const { maxResponseHeadersKb } = config;
  const maxHeadersCount = config.maxResponseHeadersCount;
  const http1: Http1ClientOptions = {
    names,
    bulk: new BulkWriter(),
    maxResponseHeadersBytes: (maxResponseHeadersKb ?? 80) * 1024,
    maxHeadersCount,
    enableTrailers: config.http1.enableTrailers,
    allowChunkedLength: config.http1.allowChunkedLength,
    keys: config.http1.keys,
  };
  let http2: Http2ClientOptions | undefined;
  return (protocol, connection, handler) => {
    if (protocol === "http1") return createHttp1ClientCodec(connection, handler, http1);
    http2 ??= {
      ...config.http2,
      maxResponseHeadersBytes: (maxResponseHeadersKb ?? 60) * 1024,
      maxHeadersCount,
      shared: createHttp2Shared(http2Stats(scope)),
      clock,
      random: () => random.float(),
      atEndOfTurn: (flush) => clock.atEndOfTurn(flush),
    };
    return createHttp2ClientCodec(connection, handler, http2);
  };
}
