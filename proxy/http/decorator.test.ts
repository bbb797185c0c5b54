import { describe, expect, test } from "vitest";
import type { ResolvedRoute } from "../router/types.ts";
import { decorateRequest, decorateResponse } from "./decorator.ts";
import { HeaderMap } from "./header-map.ts";
import type { TracingConfig } from "./tracing-config.ts";
import type { Span } from "./tracing.ts";

const name = "x-envoy-decorator-operation";
const tracing = { hasOperation: false } as TracingConfig;
const named = { decoratorOperation: "op", decoratorPropagate: true } as ResolvedRoute;
const kept = { decoratorOperation: "op", decoratorPropagate: false } as ResolvedRoute;
const headersOf = (given?: string): HeaderMap => HeaderMap.of(given === undefined ? {} : { [name]: given });

/** What goes upstream, and what the response says. */
function passed(
  route: ResolvedRoute | undefined,
  isEgress: boolean,
  given?: string,
  answered?: string,
  config = tracing,
) {
  const [request, response] = [headersOf(given), headersOf(answered)];
  const renamed: string[] = [];
  const span = { setOperation: (to: string) => void renamed.push(to) } as Span;
  const operation = decorateRequest(request, route, config, isEgress);
  decorateResponse(response, operation, route, config, isEgress, span);
  return [request.get(name), response.get(name), ...renamed];
}

describe("Route.decorator", () => {
  test("a client's side tells the server's in the request, and takes its answer out of the response", () => {
    expect(passed(named, true)).toEqual(["op", undefined]);
    expect(passed(named, true, "given")).toEqual(["op", undefined]);
    expect(passed(named, true, undefined, "answered")).toEqual(["op", undefined, "answered"]);
    expect(passed(undefined, true, "given", "")).toEqual(["given", undefined]);
  });

  test("a server's side tells the client's in the response, unless the client has said it", () => {
    expect(passed(named, false)).toEqual([undefined, "op"]);
    expect(passed(named, false, "given")).toEqual([undefined, undefined]);
    expect(passed(named, false, "")).toEqual([undefined, "op"]);
    expect(passed(undefined, false, "given", "answered")).toEqual([undefined, "answered"]);
  });

  test("without `propagate` nobody is told", () => {
    expect(passed(kept, true)).toEqual([undefined, undefined]);
    expect(passed(kept, false)).toEqual([undefined, undefined]);
  });

  test("where `operation` names spans, headers are left alone", () => {
    const own = { ...named, tracing: { operation: () => "x" } } as unknown as ResolvedRoute;
    expect(passed(own, false, "given", "answered")).toEqual(["given", "answered"]);
    const everywhere = { hasOperation: true } as TracingConfig;
    expect(passed(named, true, undefined, "answered", everywhere)).toEqual([undefined, "answered"]);
  });
});
