/** Asks an authorization service over HTTP: the request without its body, or with a part of it, at another place. */
import type { Runtime } from "#lib/runtime.ts";
import { sendAsyncRequest, type AsyncFailure, type AsyncResponse } from "../http/async-request.ts";
import { HeaderMap } from "../http/header-map.ts";
import type { ClusterManager } from "../upstream/types.ts";
import type { Authorizer, CheckResult, HeaderChange } from "./check-result.ts";

/** Tests the name of a header. */
export type NameTest = (name: string) => boolean;

export interface HttpAuthorizerConfig {
  readonly clusterName: string;
  readonly timeoutMs: number;
  readonly pathPrefix: string;
  /** "": none. */
  readonly pathOverride: string;
  /** Of the request to the service. */
  readonly addedHeaders: readonly (readonly [string, string])[];
  /** Which headers of its answer go where. Undefined: none, but for `client`: all but Host. */
  readonly upstream: NameTest | undefined;
  readonly upstreamToAppend: NameTest | undefined;
  readonly client: NameTest | undefined;
  readonly clientOnSuccess: NameTest | undefined;
  readonly metadata: NameTest | undefined;
}

const TO_REMOVE = "x-envoy-auth-headers-to-remove";

export function createHttpAuthorizer(
  config: HttpAuthorizerConfig,
  context: { readonly runtime: Runtime; readonly clusters: ClusterManager },
): Authorizer {
  return {
    check({ attributes: { http } }, onDone) {
      const headers = new HeaderMap();
      const body = http?.body !== undefined && http.body.length > 0 ? http.body : undefined;
      headers.add("content-length", String(body?.length ?? 0));
      for (const [name, value] of http?.headers ?? []) if (name !== "content-length") headers.add(name, value);
      headers.path = config.pathOverride === "" ? config.pathPrefix + headers.path : config.pathOverride;
      headers.scheme = "http";
      for (const [name, value] of config.addedHeaders) headers.set(name, value);
      const { clusterName, timeoutMs } = config;
      return sendAsyncRequest({ clusterName, headers, body, timeoutMs }, context, (answer) =>
        onDone(resultOf(answer, config)),
      );
    },
  };
}

function resultOf(answer: AsyncResponse | AsyncFailure, config: HttpAuthorizerConfig): CheckResult {
  if (typeof answer === "string" || answer.headers.status >= 500) return { verdict: "error" };
  const { headers, body } = answer;
  const pick = (test: NameTest | undefined): (readonly [string, string])[] =>
    test === undefined ? [] : headers.names.flatMap((name, i) => (test(name) ? [[name, headers.values[i] ?? ""]] : []));
  if (headers.status !== 200) {
    headers.remove(TO_REMOVE);
    return {
      verdict: "denied",
      status: headers.status,
      body: body.toString("latin1"),
      headers: pick(config.client ?? (() => true)),
      metadata: metadataOf(pick(config.metadata)),
    };
  }
  const removedHeaders = headers
    .getAll(TO_REMOVE)
    .flatMap((value) => value.split(","))
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== "");
  headers.remove(TO_REMOVE);
  const change = (action: HeaderChange["action"]) => {
    return ([name, value]: readonly [string, string]): HeaderChange => ({ name, value, action });
  };
  return {
    verdict: "ok",
    requestHeaders: [
      ...pick(config.upstream).map(change("overwrite")),
      ...pick(config.upstreamToAppend).map(change("append")),
    ],
    removedHeaders,
    responseHeaders: pick(config.clientOnSuccess).map(change("append")),
    setParameters: [],
    removedParameters: [],
    metadata: metadataOf(pick(config.metadata)),
  };
}

function metadataOf(fields: readonly (readonly [string, string])[]): Readonly<Record<string, unknown>> | undefined {
  if (fields.length === 0) return undefined;
  return Object.fromEntries(fields.map(([name, value]) => [name, Buffer.from(value, "latin1").toString("utf8")]));
}
