import { createHmac, generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exportJWK, type JWTPayload, SignJWT } from "jose";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { simulatedRuntime, type SimulatedRuntime } from "#lib/simulated-runtime.ts";
import { authenticate, type AuthenticationResult } from "./authenticator.ts";
import { tokenAuthenticator } from "./token-authenticator.ts";
import { keysFromFile, openTokenIssuer, type TokenIssuer } from "./token-issuer.ts";

let directory: string;
let runtime: SimulatedRuntime;
let issuer: TokenIssuer;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "glassmesh-tokens-"));
  runtime = simulatedRuntime();
  issuer = await openTokenIssuer(directory, runtime.clock);
});

afterEach(() => rmSync(directory, { recursive: true }));

function check(bearerToken: string, keys = () => issuer.keys): Promise<AuthenticationResult> {
  const issuers = [{ issuer: issuer.issuer, keys }];
  return tokenAuthenticator({
    clock: runtime.clock,
    trustDomain: "example.org",
    issuers,
    audiences: ["istio-ca", "other-ca"],
  }).authenticate({ bearerToken });
}

async function reason(token: string): Promise<string> {
  const result = await check(token);
  return result.kind === "refused" ? result.reason : result.kind;
}

const WEB = { namespace: "default", serviceAccount: "web" };
const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");

/** A token signed by a key of the test's own, which the CA is told to trust. */
async function signed(claims: JWTPayload): Promise<AuthenticationResult> {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const token = await new SignJWT(claims).setProtectedHeader({ alg: "RS256" }).sign(privateKey);
  const keys = { keys: [await exportJWK(publicKey)] };
  return check(token, () => keys);
}

describe("token authenticator", () => {
  test("a minted token says who its owner is, until it ends", async () => {
    const token = await issuer.mintToken({ ...WEB, ttlMs: 60_000 });
    expect(await check(token)).toEqual({
      kind: "authenticated",
      by: "token",
      identity: {
        uri: "spiffe://example.org/ns/default/sa/web",
        trustDomain: "example.org",
        path: "/ns/default/sa/web",
      },
    });
    await runtime.advance(60_000 + 9_000);
    expect((await check(token)).kind).toBe("authenticated");
    await runtime.advance(2_000);
    expect(await reason(token)).toMatch(
      /^it expired at 2026-01-01T00:01:00.000Z, now is 2026-01-01T00:01:11.000Z; mount a fresh token/,
    );
  });

  test("a token as Kubernetes makes it, by RSA, is taken", async () => {
    const seconds = Math.floor(runtime.clock.now() / 1000);
    const claims = {
      iss: issuer.issuer,
      aud: ["istio-ca"],
      exp: seconds + 60,
      sub: "system:serviceaccount:default:web",
      "kubernetes.io": { namespace: "default", pod: { name: "web-1" }, serviceaccount: { name: "web", uid: "1" } },
    };
    expect(await signed(claims)).toMatchObject({ kind: "authenticated" });
    const refusals: [Record<string, unknown>, RegExp][] = [
      [{ sub: "alice" }, /its subject "alice" is not "system:serviceaccount:<namespace>:<name>"/],
      [{ sub: "system:serviceaccount:default:web:x" }, /its subject/],
      [{ sub: "system:serviceaccount:a/sa/b:web", "kubernetes.io": undefined }, /contains a slash/],
      [{ sub: "system:serviceaccount:other:web" }, /name different service accounts/],
      [{ sub: undefined }, /its claim "sub" is missing or wrong/],
      [{ exp: undefined }, /its claim "exp" is missing or wrong/],
      [{ nbf: seconds + 3600 }, /it is not valid yet/],
      [{ aud: undefined }, /wrong audience: it is for undefined, this CA wants "istio-ca" or "other-ca"/],
    ];
    for (const [change, expected] of refusals) {
      expect(await signed({ ...claims, ...change })).toEqual({
        kind: "refused",
        reason: expect.stringMatching(expected),
      });
    }
  });

  test("what is not signed by a public key of the issuer is refused", async () => {
    const [header = "", payload = "", signature = ""] = (await issuer.mintToken(WEB)).split(".");
    const [key] = issuer.keys.keys;
    const shared = `${encode({ alg: "HS256", kid: key?.kid })}.${payload}`;
    const hmac = createHmac("sha256", JSON.stringify(key)).update(shared).digest("base64url");
    expect(await reason(`${encode({ alg: "none" })}.${payload}.`)).not.toBe("authenticated");
    expect(await reason(`${shared}.${hmac}`)).toContain("signature algorithm is not allowed");
    expect(await reason(`${header}.${payload}.${signature.slice(0, -4)}AAAA`)).toContain("bad signature");
    const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as object;
    expect(
      await reason(`${header}.${encode({ ...claims, sub: "system:serviceaccount:default:admin" })}.${signature}`),
    ).toContain("bad signature");
  });

  test.each(["", "x", "a.b.c", "a.b", "..", "{}"])("%j is no token", async (text) => {
    expect(await reason(text)).toContain("it is no JWT");
  });

  test("no token is no refusal: another way may be open", async () => {
    const none = tokenAuthenticator({ clock: runtime.clock, trustDomain: "example.org", issuers: [], audiences: [] });
    expect(await none.authenticate({})).toEqual({ kind: "absent" });
    expect(await authenticate([none], {})).toMatchObject({
      kind: "refused",
      reason: expect.stringContaining("brings no proof of identity"),
    });
  });
});

describe("token issuer", () => {
  test("keeps its key for its owner only, and uses it again", async () => {
    expect(statSync(join(directory, "token-key.pem")).mode & 0o777).toBe(0o600);
    const again = await openTokenIssuer(directory, runtime.clock);
    expect(again.keys).toEqual(issuer.keys);
    expect((await check(await again.mintToken(WEB))).kind).toBe("authenticated");
    expect(issuer.keys.keys[0]).not.toHaveProperty("d");
  });

  test("a verifier in another process has the keys from the file, also after they changed", async () => {
    const file = join(directory, "token-jwks.json");
    const keys = keysFromFile(file);
    expect(keys()).toEqual(issuer.keys);
    const other = await openTokenIssuer(join(directory, "other"), runtime.clock);
    writeFileSync(file, JSON.stringify(other.keys));
    utimesSync(file, 1, 1);
    expect(keys()).toEqual(other.keys);
  });

  test("a JWKS file that is none is named", () => {
    const file = join(directory, "token-jwks.json");
    for (const text of ["", "[]", '{"keys":[1]}', '{"keys":[{}]}']) {
      writeFileSync(file, text);
      expect(() => keysFromFile(file)).toThrow(
        expect.objectContaining({ code: "jwks-invalid", message: expect.stringContaining(file) }),
      );
    }
    expect(() => keysFromFile(join(directory, "nowhere.json"))).toThrow(
      expect.objectContaining({ code: "ca-file-missing" }),
    );
  });
});
