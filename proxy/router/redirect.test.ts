import { describe, expect, test } from "vitest";
import { StreamInfo } from "../stream-info.ts";
import { match, problemsOf, requestOf, tableOf, tableOfRoutes } from "./testing/routes.ts";

const all = { prefix: "/" };

describe("redirects and direct responses", () => {
  const location = (redirect: object, fields: Record<string, string> = {}): string | undefined => {
    const route = match(tableOfRoutes([{ match: all, redirect }]), fields);
    if (route?.kind !== "redirect") return undefined;
    const headers = requestOf(fields);
    const context = { info: new StreamInfo(), requestHeaders: headers };
    route.rewritePath(headers, context, false);
    return route.location(headers, context);
  };

  test("R-42: scheme, host, port, path", () => {
    const secure = { ":scheme": "https", "x-forwarded-proto": "https" };
    expect(location({ httpsRedirect: true }, { ":path": "/a?b" })).toBe("https://host/a?b");
    expect(location({ httpsRedirect: true }, { ":authority": "host:80" })).toBe("https://host/");
    expect(location({ httpsRedirect: true }, { ":authority": "host:8080" })).toBe("https://host:8080/");
    expect(location({ schemeRedirect: "http" }, { ...secure, ":authority": "host:443" })).toBe("http://host/");
    expect(location({ portRedirect: 8443 }, { ":authority": "[::1]:80" })).toBe("http://[::1]:8443/");
    expect(location({ hostRedirect: "new" })).toBe("http://new/");
    expect(location({ pathRedirect: "/p" }, { ":path": "/a?b" })).toBe("http://host/p?b");
    expect(location({ pathRedirect: "/p?x" }, { ":path": "/a?b" })).toBe("http://host/p?x");
    expect(location({ pathRedirect: "/p", stripQuery: true }, { ":path": "/a?b" })).toBe("http://host/p");
    expect(location({ stripQuery: true }, { ":path": "/a?b" })).toBe("http://host/a");
    expect(location({ prefixRewrite: "/n/" }, { ":path": "/a?b" })).toBe("http://host/n/a?b");
    expect(location({ regexRewrite: { pattern: { regex: "a" }, substitution: "c" } }, { ":path": "/a?a" })).toBe(
      "http://host/c?a",
    );
  });

  test("R-43: the path starts with a slash", () => {
    expect(location({ pathRedirect: "p" })).toBe("http://host/p");
  });

  test("R-42: response codes", () => {
    const codes = ["MOVED_PERMANENTLY", "FOUND", "SEE_OTHER", "TEMPORARY_REDIRECT", "PERMANENT_REDIRECT"].map(
      (responseCode) => match(tableOfRoutes([{ match: all, redirect: { responseCode } }])),
    );
    expect(codes.map((route) => route?.kind === "redirect" && route.status)).toEqual([301, 302, 303, 307, 308]);
  });

  test("R-44: the body has a limit", () => {
    const direct = (length: number, rest: object = {}): object => ({
      virtualHosts: [
        {
          name: "v",
          domains: ["*"],
          routes: [{ match: all, directResponse: { status: 418, body: { inlineString: "x".repeat(length) } } }],
        },
      ],
      ...rest,
    });
    expect(match(tableOf(direct(4096)))).toMatchObject({ kind: "direct-response", status: 418 });
    expect(problemsOf(direct(4097))).toEqual([
      expect.stringContaining("response body size is 4097 bytes; maximum is 4096"),
    ]);
    expect(problemsOf(direct(4097, { maxDirectResponseBodySizeBytes: 5000 }))).toEqual([]);
  });
});
