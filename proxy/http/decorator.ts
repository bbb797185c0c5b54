/**
 * `Route.decorator`: the name of an operation, and its way between two proxies. The client's side tells the server's in
 * the request, the server's the client's in the response (`x-envoy-decorator-operation`); the header goes no further. Where
 * `tracing.operation` names spans, of the connection manager or of the route, nothing of this takes place.
 */
import type { ResolvedRoute } from "../router/types.ts";
import type { HeaderMap } from "./header-map.ts";
import type { TracingConfig } from "./tracing-config.ts";
import type { Span } from "./tracing.ts";

const name = "x-envoy-decorator-operation";

/** Gives what the response is to say; undefined: nothing. */
export function decorateRequest(
  headers: HeaderMap,
  route: ResolvedRoute | undefined,
  tracing: TracingConfig,
  isEgress: boolean,
): string | undefined {
  if (namesSpans(tracing, route)) return undefined;
  const operation = route?.decoratorPropagate === true ? route.decoratorOperation : undefined;
  if (isEgress) {
    if (operation !== undefined && operation !== "") headers.set(name, operation);
    return undefined;
  }
  const given = headers.get(name);
  if (given !== undefined) headers.remove(name);
  return given === undefined || given === "" ? operation : undefined;
}

/** `operation` is what `decorateRequest` gave. */
export function decorateResponse(
  headers: HeaderMap,
  operation: string | undefined,
  route: ResolvedRoute | undefined,
  tracing: TracingConfig,
  isEgress: boolean,
  span: Span | undefined,
): void {
  if (namesSpans(tracing, route)) return;
  if (!isEgress) {
    if (operation !== undefined && operation !== "") headers.set(name, operation);
    return;
  }
  const given = headers.get(name);
  if (given === undefined) return;
  if (given !== "") span?.setOperation(given);
  headers.remove(name);
}

function namesSpans(tracing: TracingConfig, route: ResolvedRoute | undefined): boolean {
  return tracing.hasOperation || route?.tracing?.operation !== undefined;
}
