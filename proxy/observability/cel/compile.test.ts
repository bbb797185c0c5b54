import { describe, expect, test } from "vitest";
import { HeaderMap } from "../../http/header-map.ts";
import { StreamInfo } from "../../stream-info.ts";
import { compileCel } from "./compile.ts";

const info = new StreamInfo();
info.responseCode = 503;
info.start = 10;
info.end = 1510;
info.dynamicMetadata = new Map([["a.b", { c: { d: "e" } }]]);
info.filterState = new Map<string, unknown>([["downstream_peer", { workloadName: "web", labels: { app: "w" } }]]);
const requestHeaders = HeaderMap.of({ ":path": "/a/b?c=d", ":method": "GET", ":authority": "shop", "x-a": "1" });

function evaluate(text: string): unknown {
  const { value, problems } = compileCel(text, "expression");
  expect(problems).toEqual([]);
  return value?.({ info, requestHeaders });
}

describe("CEL", () => {
  test.each([
    ["response.code >= 500", true],
    ["response.code == 200 || request.method == 'GET'", true],
    ["request.headers['x-a'] == \"1\" && !(request.url_path.endsWith('/c'))", true],
    ["request.headers['x-none'] == '1'", undefined],
    ["request.headers['x-none'] == '1' || true", true],
    ["'x-a' in request.headers", true],
    ["has(request.headers['x-none'])", false],
    ["request.path.matches('^/a/.$')", false],
    ["request.url_path.matches('^/a/.$')", true],
    ["request.query", "c=d"],
    ["metadata.filter_metadata['a.b'].c.d", "e"],
    ["filter_state['downstream_peer'].workloadName + '/' + downstream_peer.labels['app']", "web/w"],
    ["request.duration > duration('1s') ? 'slow' : 'fast'", "slow"],
    ["1 + 2 * 3 - 7 % 4", 4],
    ["request.method in ['PUT', 'GET']", true],
    ["string(response.code) + 'x'", "503x"],
    ["-(1) < 0", true],
    ["size('abc') == 3", true],
  ])("%s", (text, expected) => {
    expect(evaluate(text)).toEqual(expected);
  });

  test.each([
    ["request.nope", "there is no attribute request.nope"],
    ["nope == 1", "there is no attribute nope"],
    ["[1].exists(x, x > 0)", "there is no attribute x"],
    ["request.path.frobnicate()", "there is no function frobnicate()"],
    ["request.path ==", "it ends too early"],
    ["request.path == 'a' 'b'", "is not expected"],
    ["a # b", "cannot be read at character"],
    ["request.path.matches('(')", "missing"],
  ])("refuses %s by name", (text, message) => {
    expect(compileCel(text, "expression").problems[0]?.message).toContain(message);
  });
});
