import { describe, expect, test } from "vitest";
import type { HttpFilterFactory } from "../http/filter.ts";
import { match, problemsOf, tableOf, tableOfRoutes } from "./testing/routes.ts";
import { disabledFilter, type ForwardRoute } from "./types.ts";

const to = (cluster: string, extra: object = {}): object => ({ route: { cluster, ...extra } });
const all = { prefix: "/" };

describe("what a route carries", () => {
  test("names, metadata, priority, decorator, counts of attempts", () => {
    const table = tableOfRoutes(
      [
        {
          name: "r",
          match: all,
          metadata: { filterMetadata: { istio: { config: "/apis/x" } } },
          decorator: { operation: "op", propagate: false },
          ...to("c", {
            priority: "HIGH",
            idleTimeout: "3s",
            upgradeConfigs: [{ upgradeType: "WebSocket", enabled: false }],
          }),
        },
      ],
      { includeRequestAttemptCount: true },
    );
    expect(match(table)).toMatchObject({
      name: "r",
      virtualHostName: "v",
      metadata: { istio: { config: "/apis/x" } },
      decoratorOperation: "op",
      decoratorPropagate: false,
      priority: "high",
      idleTimeoutMs: 3000,
      includeAttemptCountInRequest: true,
      includeAttemptCountInResponse: false,
      upgrades: new Map([["websocket", false]]),
    });
  });

  test("R-61: the retry policy of the route, else of the virtual host", () => {
    const table = tableOfRoutes(
      [
        { match: { prefix: "/own" }, ...to("c", { retryPolicy: { retryOn: "reset", numRetries: 9 } }) },
        { match: all, ...to("c") },
      ],
      { retryPolicy: { retryOn: "5xx", numRetries: 2 } },
    );
    const retries = ["/own", "/"].map(
      (path) => (match(table, { ":path": path }) as ForwardRoute).retryPolicy?.numRetries,
    );
    expect(retries).toEqual([9, 2]);
  });

  test("R-46: internal redirects", () => {
    const policy = { maxInternalRedirects: 3, redirectResponseCodes: [301, 404] };
    expect(match(tableOfRoutes([{ match: all, ...to("c", { internalRedirectPolicy: policy }) }]))).toMatchObject({
      internalRedirect: { maxInternalRedirects: 3, statusCodes: new Set([301]), allowCrossSchemeRedirect: false },
    });
    expect(match(tableOfRoutes([{ match: all, ...to("c", { internalRedirectPolicy: {} }) }]))).toMatchObject({
      internalRedirect: { maxInternalRedirects: 1, statusCodes: new Set([302]) },
    });
  });

  test("R-112: per-filter configuration of the most specific level, parsed by the filter", () => {
    const type = "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.BufferPerRoute";
    const filter: HttpFilterFactory = {
      name: "envoy.filters.http.buffer",
      typeUrls: [],
      routeTypeUrls: [type],
      parse: () => ({ problems: [] }),
      parseRoute: (message) => ({
        value: (message as unknown as { override: { value: { maxRequestBytes: number } } }).override.value
          .maxRequestBytes,
        problems: [],
      }),
      create: () => () => undefined,
    };
    const config = (maxRequestBytes: number): object => ({
      typedPerFilterConfig: { buffer: { "@type": type, buffer: { maxRequestBytes } } },
    });
    const table = tableOf(
      {
        virtualHosts: [
          {
            name: "v",
            domains: ["*"],
            ...config(2),
            routes: [
              { match: { prefix: "/route" }, ...to("c"), ...config(3) },
              {
                match: { prefix: "/weighted" },
                route: { weightedClusters: { clusters: [{ name: "a", weight: 1, ...config(4) }] } },
                ...config(3),
              },
              { match: all, ...to("c") },
            ],
          },
          { name: "w", domains: ["w"], routes: [{ match: all, ...to("c") }] },
        ],
        ...config(1),
      },
      [filter],
    );
    const found = ["/route", "/weighted", "/"].map((path) => match(table, { ":path": path })?.perFilter("buffer"));
    expect(found).toEqual([3, 4, 2]);
    expect(match(table, { ":authority": "w" })?.perFilter("buffer")).toBe(1);
    expect(match(table, { ":authority": "w" })?.perFilter("other")).toBeUndefined();
    const off = {
      typedPerFilterConfig: {
        b: { "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", disabled: true },
      },
    };
    const switchedOff = tableOf({
      virtualHosts: [{ name: "v", domains: ["*"], routes: [{ match: all, ...to("c") }], ...off }],
    });
    expect(match(switchedOff, { ":path": "/" })?.perFilter("b")).toBe(disabledFilter);
    const refused = { virtualHosts: [{ name: "v", domains: ["*"], ...config(1) }] };
    expect(problemsOf(refused)).toEqual([
      expect.stringContaining(`virtual_hosts[0].typed_per_filter_config["buffer"]: no HTTP filter`),
    ]);
  });

  test("a field that is not done is refused by name", () => {
    const route = {
      match: all,
      route: { cluster: "c", rateLimits: [{ actions: [{ extension: { name: "expr" } }] }] },
    };
    expect(problemsOf({ virtualHosts: [{ name: "v", domains: ["*"], routes: [route] }] })).toEqual([
      expect.stringMatching(
        /^virtual_hosts\[0\]\.routes\[0\]\.route\.rate_limits\[0\]\.actions\[0\]\.extension: .*not supported/,
      ),
    ]);
  });
});
