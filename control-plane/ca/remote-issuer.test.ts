import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { exportJWK, type JSONWebKeySet, SignJWT } from "jose";
import { afterEach, describe, expect, test } from "vitest";
import { simulatedRuntime } from "#lib/simulated-runtime.ts";
import { followIssuer, type RemoteIssuer } from "./remote-issuer.ts";
import { tokenAuthenticator } from "./token-authenticator.ts";

const ISSUER = "https://issuer.example";
const DISCOVERY = `${ISSUER}/.well-known/openid-configuration`;

async function keyNamed(kid: string) {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { kid, privateKey, jwk: { ...(await exportJWK(publicKey)), kid } };
}

const [one, two] = [await keyNamed("one"), await keyNamed("two")];
const opened: RemoteIssuer[] = [];
afterEach(() => opened.splice(0).forEach((issuer) => issuer.close()));

function world(pages: Record<string, unknown> = {}) {
  const runtime = simulatedRuntime();
  const served: Record<string, unknown> = {
    [DISCOVERY]: { issuer: ISSUER, jwks_uri: `${ISSUER}/keys` },
    [`${ISSUER}/keys`]: { keys: [one.jwk] } satisfies JSONWebKeySet,
    ...pages,
  };
  const fetched: string[] = [];
  const issuer = followIssuer({
    issuer: ISSUER,
    clock: runtime.clock,
    log: runtime.log,
    fetch: (url) => {
      fetched.push(url);
      const page = served[url];
      return page === undefined
        ? Promise.reject(new Error("the answer has the status 503"))
        : Promise.resolve(JSON.stringify(page));
    },
  });
  opened.push(issuer);
  const authenticator = tokenAuthenticator({
    clock: runtime.clock,
    trustDomain: "example.org",
    issuers: [issuer],
    audiences: ["istio-ca"],
  });
  const call = async (key: { readonly kid: string; readonly privateKey: KeyObject }, iss = ISSUER): Promise<string> => {
    const nowSeconds = Math.floor(runtime.clock.now() / 1000);
    const token = await new SignJWT({
      iss,
      aud: "istio-ca",
      sub: "system:serviceaccount:default:web",
      exp: nowSeconds + 60,
    })
      .setProtectedHeader({ alg: "ES256", kid: key.kid })
      .sign(key.privateKey);
    const result = await authenticator.authenticate({ bearerToken: token });
    return result.kind === "authenticated" ? result.identity.uri : result.kind === "refused" ? result.reason : "absent";
  };
  return { runtime, served, fetched, issuer, call };
}

describe("an OpenID Connect issuer of workload tokens", () => {
  test("its keys are discovered; a token of it is a workload's", async () => {
    const { runtime, call, fetched } = world();
    await runtime.settle();
    expect(await call(one)).toBe("spiffe://example.org/ns/default/sa/web");
    expect(fetched).toEqual([DISCOVERY, `${ISSUER}/keys`]);
    expect(await call(one, "https://other.example")).toMatch(/unknown issuer/);
  });

  test("a key that is not known has the keys fetched anew, but not for every such token", async () => {
    const { runtime, served, call, fetched } = world();
    await runtime.settle();
    await runtime.advance(60_000);
    served[`${ISSUER}/keys`] = { keys: [one.jwk, two.jwk] };
    expect(await call(two)).toBe("spiffe://example.org/ns/default/sa/web");
    expect(fetched).toHaveLength(4);
    const stranger = await keyNamed("three");
    for (let index = 0; index < 10; index++) {
      // oxlint-disable-next-line no-await-in-loop
      expect(await call(stranger)).toMatch(/bad signature: no key of/);
    }
    expect(fetched).toHaveLength(4);
  });

  test("keys are fetched every twenty minutes; a key that is gone counts no more; one that can't be fetched stays", async () => {
    const { runtime, served, call, issuer } = world();
    await runtime.settle();
    delete served[DISCOVERY];
    await runtime.advance(25 * 60_000);
    expect(issuer.failure()).toBe("the answer has the status 503");
    expect(await call(one)).toBe("spiffe://example.org/ns/default/sa/web");
    served[DISCOVERY] = { issuer: ISSUER, jwks_uri: `${ISSUER}/keys` };
    served[`${ISSUER}/keys`] = { keys: [two.jwk] };
    await runtime.advance(60_000);
    expect(await call(one)).toMatch(/bad signature/);
    expect(await call(two)).toBe("spiffe://example.org/ns/default/sa/web");
  });

  test.each<[string, Record<string, unknown>, RegExp]>([
    [
      "a document of another issuer",
      { [DISCOVERY]: { issuer: "https://evil.example", jwks_uri: `${ISSUER}/keys` } },
      /is of the issuer "https:\/\/evil\.example"/,
    ],
    ["a document without keys", { [DISCOVERY]: { issuer: ISSUER } }, /names no jwks_uri/],
    [
      "keys in plaintext",
      { [DISCOVERY]: { issuer: ISSUER, jwks_uri: "http://issuer.example/keys" } },
      /no https:\/\/ URL/,
    ],
    ["no keys", { [`${ISSUER}/keys`]: { keys: [] } }, /holds no key/],
    ["something else", { [`${ISSUER}/keys`]: "sorry" }, /no JWK set/],
  ])("%s: nobody gets in, and the refusal says why", async (_, pages, message) => {
    const { runtime, call } = world(pages);
    await runtime.settle();
    const said = await call(one);
    expect(said).toMatch(/no key of "https:\/\/issuer\.example"/);
    expect(said).toMatch(message);
  });

  test("an issuer that is asked in plaintext is misuse", () => {
    const { runtime } = world();
    const make = (issuer: string) => () =>
      followIssuer({ issuer, clock: runtime.clock, log: runtime.log, fetch: () => Promise.reject(new Error("x")) });
    expect(make("http://issuer.example")).toThrow(/--token-issuer: "http:\/\/issuer\.example" is no https/);
    expect(make("issuer")).toThrow(/is no https/);
    opened.push(make("http://127.0.0.1:1")());
  });
});
