import { describe, expect, test } from "vitest";
import { httpWorld, type Json } from "../testing/http-world.ts";

const faultType = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault";
const abort = { "@type": faultType, abort: { http_status: 418, percentage: { numerator: 100 } } };
const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const wrapper = (fields: Json): Json => ({
  "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig",
  ...fields,
});

async function answer(filter: Json, perRoute?: Json, virtualHost?: Json): Promise<string> {
  const world = await httpWorld({
    filters: [{ name: "fault", typed_config: abort, ...filter }],
    routes: [
      {
        match: { prefix: "/" },
        route: { cluster: "up" },
        ...(perRoute === undefined ? {} : { typed_per_filter_config: { fault: perRoute } }),
      },
    ],
    ...(virtualHost === undefined ? {} : { virtualHost: { typed_per_filter_config: { fault: virtualHost } } }),
  });
  await world.serve(80, () => "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
  return (await world.exchange(get)).slice(9, 12);
}

describe("HttpFilter.disabled and FilterConfig", () => {
  test("a disabled filter takes no part", async () => {
    expect(await answer({ disabled: true })).toBe("200");
  });

  test("a route enables it with a configuration of its own, or with `config: {}`", async () => {
    expect(await answer({ disabled: true }, { ...abort, abort: { ...abort.abort, http_status: 404 } })).toBe("404");
    expect(await answer({ disabled: true }, wrapper({ config: {} }))).toBe("418");
  });

  test("the most specific level decides", async () => {
    expect(await answer({}, wrapper({ disabled: true }))).toBe("200");
    expect(await answer({}, wrapper({ config: {} }), wrapper({ disabled: true }))).toBe("418");
    expect(await answer({ disabled: true }, wrapper({ disabled: true }), wrapper({ config: {} }))).toBe("200");
  });

  test("`config: {}` leaves the configuration of the virtual host in force", async () => {
    const ofHost = { ...abort, abort: { ...abort.abort, http_status: 404 } };
    expect(await answer({}, wrapper({ config: {} }), ofHost)).toBe("404");
  });

  test("a FilterConfig without config is refused by name", async () => {
    await expect(answer({}, wrapper({}))).rejects.toThrow("config");
  });

  test("the terminal filter can't be disabled", async () => {
    const router = {
      name: "envoy.filters.http.router",
      typed_config: { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
      disabled: true,
    };
    await expect(httpWorld({ manager: { http_filters: [router] } })).rejects.toThrow("can't be disabled");
  });

  test("an optional filter that nobody has is left out", async () => {
    const config = { "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua" };
    expect(await answer({}, undefined)).toBe("418");
    const world = await httpWorld({ filters: [{ name: "lua", typed_config: config, is_optional: true }] });
    await world.serve(80, () => "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    expect(await world.exchange(get)).toMatch(/^HTTP\/1\.1 200 /);
    await expect(httpWorld({ filters: [{ name: "lua", typed_config: config }] })).rejects.toThrow("Lua");
  });
});
