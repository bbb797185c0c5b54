import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { nodeRuntime } from "#lib/node-runtime.ts";
import { simulatedRuntime } from "#lib/simulated-runtime.ts";
import { parseManifests } from "../config/parse-manifests.ts";
import { buildMeshIndex } from "../model/build-mesh-index.ts";
import { keySetKey } from "../model/key-sets.ts";
import type { MeshIndex } from "../model/mesh-index.ts";
import { readMeshConfig } from "../model/read-mesh-config.ts";
import { createFetchText } from "./fetch-text.ts";
import { createKeySetResolver } from "./key-set-resolver.ts";

function meshWith(...rules: readonly string[]): MeshIndex {
  const yaml = `{apiVersion: security.istio.io/v1, kind: RequestAuthentication, metadata: {name: x}, spec: {jwtRules: [${rules.join()}]}}`;
  return buildMeshIndex(parseManifests(yaml, "x.yaml").objects, readMeshConfig([]).meshConfig);
}

const keys = (kid: string): string => JSON.stringify({ keys: [{ kty: "oct", kid, k: "AAAA" }] });

interface World {
  readonly runtime: ReturnType<typeof simulatedRuntime>;
  readonly resolver: ReturnType<typeof createKeySetResolver>;
  readonly answers: Map<string, string | Error>;
  readonly asked: string[];
  changes: number;
}

function world(): World {
  const runtime = simulatedRuntime();
  const answers = new Map<string, string | Error>();
  const asked: string[] = [];
  const made: { changes: number } = { changes: 0 };
  const resolver = createKeySetResolver({
    clock: runtime.clock,
    log: runtime.log,
    onChange: () => void made.changes++,
    fetch: (url) => {
      asked.push(url);
      const answer = answers.get(url) ?? new Error("nobody there");
      return typeof answer === "string" ? Promise.resolve(answer) : Promise.reject(answer);
    },
  });
  return Object.assign(made, { runtime, resolver, answers, asked });
}

describe("key sets of JWT rules", () => {
  test("are fetched when a rule names them; the mesh is another one then", async () => {
    const { runtime, resolver, answers, ...rest } = world();
    answers.set("http://a/keys", keys("1"));
    const mesh = meshWith('{issuer: a, jwksUri: "http://a/keys"}', "{issuer: b, jwks: '{}'}");
    expect(resolver.withKeySets(mesh).keySet?.("http://a/keys")).toBe(undefined);
    await runtime.settle();
    const resolved = resolver.withKeySets(mesh);
    expect(resolved.keySet?.("http://a/keys")).toBe(keys("1"));
    expect(resolved.version).not.toBe(mesh.version);
    expect(resolved.shape).not.toBe(mesh.shape);
    expect(resolver.withKeySets(mesh)).toMatchObject({ version: resolved.version, shape: resolved.shape });
    expect(resolver.withKeySets(mesh).shape).toBe(resolved.shape);
    expect(rest.asked).toEqual(["http://a/keys"]);
    resolver.close();
  });

  test("without jwksUri are found by OpenID discovery at the issuer", async () => {
    const { runtime, resolver, answers } = world();
    answers.set("https://a/.well-known/openid-configuration", '{"jwks_uri":"https://keys/a"}');
    answers.set("https://keys/a", keys("1"));
    const mesh = meshWith('{issuer: "https://a/"}');
    resolver.withKeySets(mesh);
    await runtime.settle();
    expect(resolver.withKeySets(mesh).keySet?.(keySetKey(undefined, "https://a/"))).toBe(keys("1"));
    resolver.close();
  });

  test("are asked for again, sooner after a failure; what was good stays", async () => {
    const created = world();
    const { runtime, resolver, answers, asked } = created;
    const mesh = meshWith('{issuer: a, jwksUri: "http://a/keys"}');
    resolver.withKeySets(mesh);
    await runtime.settle();
    expect([asked.length, created.changes]).toEqual([1, 0]);
    answers.set("http://a/keys", keys("1"));
    await runtime.advance(1100);
    expect([asked.length, created.changes]).toEqual([2, 1]);
    answers.set("http://a/keys", "<html>sorry</html>");
    await runtime.advance(20 * 60_000);
    expect([asked.length, created.changes]).toEqual([3, 1]);
    expect(resolver.withKeySets(mesh).keySet?.("http://a/keys")).toBe(keys("1"));
    answers.set("http://a/keys", keys("2"));
    await runtime.advance(1100);
    expect(created.changes).toBe(2);
    expect(resolver.withKeySets(mesh).keySet?.("http://a/keys")).toBe(keys("2"));
    resolver.close();
  });

  test("of a rule that is gone are forgotten", async () => {
    const { runtime, resolver, answers, asked } = world();
    answers.set("http://a/keys", keys("1"));
    resolver.withKeySets(meshWith('{issuer: a, jwksUri: "http://a/keys"}'));
    await runtime.settle();
    resolver.withKeySets(meshWith());
    await runtime.advance(60 * 60_000);
    expect(asked.length).toBe(1);
  });
});

describe("fetching key sets", () => {
  const servers: Server[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
  });

  async function serve(answer: (url: string) => { status?: number; body: string; location?: string }): Promise<string> {
    const server = createServer((request, response) => {
      const { status = 200, body, location } = answer(request.url ?? "");
      response.writeHead(status, location === undefined ? {} : { location }).end(body);
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  const { network } = nodeRuntime();

  test("follows redirects, refuses errors and what is too long", async () => {
    const fetcher = createFetchText(network, []);
    const origin = await serve((url) => {
      if (url === "/moved") return { status: 302, body: "", location: "/keys" };
      if (url === "/long") return { body: "x".repeat(1024 * 1024 + 1) };
      return url === "/keys" ? { body: "keys" } : { status: 500, body: "" };
    });
    expect(await fetcher.fetch(`${origin}/moved`, 5000)).toBe("keys");
    await expect(fetcher.fetch(`${origin}/else`, 5000)).rejects.toThrow("status 500");
    await expect(fetcher.fetch(`${origin}/long`, 5000)).rejects.toThrow("longer");
    await fetcher.close();
  });

  test("asks nobody in a blocked network, by number, by name or by redirect", async () => {
    const fetcher = createFetchText(network, ["127.0.0.0/8"]);
    const origin = await serve(() => ({ body: "secret" }));
    await expect(fetcher.fetch(origin, 5000)).rejects.toThrow("must not be asked");
    await expect(fetcher.fetch(origin.replace("127.0.0.1", "[::ffff:127.0.0.1]"), 5000)).rejects.toThrow(
      "must not be asked",
    );
    await expect(fetcher.fetch(origin.replace("127.0.0.1", "localhost"), 5000)).rejects.toThrow();
    await fetcher.close();
    const open = createFetchText(network, []);
    const redirecting = await serve(() => ({ status: 302, body: "", location: "http://169.254.169.254/latest" }));
    await expect(open.fetch(redirecting, 5000)).rejects.toThrow("must not be asked");
    await open.close();
  });
});
