import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { openSelfSignedRoot } from "#certs/ca-files.ts";
import { createCertificateAuthority, type CertificateAuthority } from "#certs/certificate-authority.ts";
import { createKeyPair, privateKeyToPem } from "#certs/keys.ts";
import { parseSpiffeId } from "#certs/spiffe-id.ts";
import { bundleToJwks, bundleToPem } from "#certs/trust-bundle.ts";
import { nodeRuntime } from "#lib/node-runtime.ts";
import { followBundles, parseFederation, type FederatedBundles, type FederationTarget } from "./federated-bundles.ts";

const runtime = nodeRuntime({ logLevel: "off" });
const ID = "spiffe://other.test/ns/istio-system/sa/istiod";
const WAIT = { timeout: 10_000, interval: 20 };

describe("--federate", () => {
  test("https_web and https_spiffe", () => {
    expect(parseFederation("other.test=https://h/b")).toMatchObject({ trustDomain: "other.test", url: "https://h/b" });
    expect(parseFederation("other.test=https://h/,ca=c.pem")).toMatchObject({ caFile: "c.pem" });
    expect(parseFederation(`other.test=https://h/,spiffe-id=${ID},bundle=b.json`)).toMatchObject({
      spiffeId: ID,
      bundleFile: "b.json",
    });
  });

  test.each([
    ["other.test", /the trust domain is empty/],
    ["Other=https://h/", /./],
    ["other.test=http://h/", /no https:\/\/ URL/],
    ["other.test=https://h/,x=y", /"x=y" is none of/],
    [`other.test=https://h/,spiffe-id=${ID}`, /go together/],
    [`other.test=https://h/,spiffe-id=${ID},bundle=b,ca=c`, /not ca/],
    ["other.test=https://h/,spiffe-id=spiffe://else.test/a,bundle=b", /is not of other\.test/],
  ])("%s is misuse", (text, message) => {
    expect(() => parseFederation(text)).toThrow(message);
    expect(() => parseFederation(text)).toThrow(/--federate takes/);
  });
});

describe("bundles of other trust domains", () => {
  let directory: string;
  let server: Server;
  let authority: CertificateAuthority;
  let answer: { status: number; body: string };
  let followed: FederatedBundles | undefined;
  const file = (name: string): string => join(directory, name);

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), "glassmesh-bundles-"));
    const { material } = await openSelfSignedRoot(file("other"), "other.test", Date.now());
    authority = createCertificateAuthority({ material, clock: runtime.clock });
    writeFileSync(file("ca.pem"), authority.rootsPem);
    writeFileSync(file("bundle.json"), JSON.stringify(bundleToJwks(bundle())));
    answer = { status: 200, body: JSON.stringify(bundleToJwks({ ...bundle(), refreshHintSeconds: 1 })) };
    server = await serving((key) => authority.signWorkload(key, parseSpiffeId(ID)).chain);
  });

  afterEach(() => {
    followed?.close();
    server.closeAllConnections();
    server.close();
    rmSync(directory, { recursive: true });
  });

  const bundle = () => ({ trustDomain: "other.test", authorities: authority.roots });

  async function serving(
    sign: (key: Parameters<CertificateAuthority["signWorkload"]>[0]) => readonly string[],
  ): Promise<Server> {
    const { publicKey, privateKey } = await createKeyPair("ECDSA_P256");
    const cert = sign({ publicKey, publicKeyDer: publicKey.export({ type: "spki", format: "der" }) }).join("");
    const opened = createServer({ cert, key: privateKeyToPem(privateKey) }, (_, response) => {
      response.writeHead(answer.status, { location: "https://127.0.0.1:1/" }).end(answer.body);
    });
    await new Promise<void>((resolve) => opened.listen(0, "127.0.0.1", resolve));
    return opened;
  }

  function follow(how: Partial<FederationTarget>, from = server) {
    let changes = 0;
    followed = followBundles(
      runtime,
      [{ trustDomain: "other.test", url: `https://127.0.0.1:${(from.address() as AddressInfo).port}/`, ...how }],
      { ownTrustDomain: "own.test", blockedCidrs: [], onChange: () => void changes++ },
    );
    const { bundles } = followed;
    return { bundles, problems: () => followed?.problems ?? [], changes: () => changes };
  }

  const spiffe = () => ({ spiffeId: ID, bundleFile: file("bundle.json") });

  test("https_spiffe: the endpoint proves its ID by the bundle that is known; what it says is followed", async () => {
    const { bundles, changes, problems } = follow(spiffe());
    await vi.waitFor(() => expect(bundles.get("other.test")?.refreshHintSeconds).toBe(1), WAIT);
    expect([changes(), problems()]).toEqual([0, []]);
    const next = await openSelfSignedRoot(file("next"), "other.test", Date.now());
    const authorities = [...authority.roots, ...next.material.roots];
    answer.body = JSON.stringify(bundleToJwks({ ...bundle(), authorities, refreshHintSeconds: 1 }));
    await vi.waitFor(() => expect(changes()).toBe(1), WAIT);
    expect(bundleToPem(bundles.get("other.test") ?? { authorities: [] })).toBe(bundleToPem({ authorities }));
  });

  test("https_web: the endpoint proves its host name by a CA", async () => {
    const web = await serving((key) => authority.signServer(key, { dnsNames: [], ipAddresses: ["127.0.0.1"] }).chain);
    const { bundles } = follow({ caFile: file("ca.pem") }, web);
    await vi.waitFor(() => expect(bundles.has("other.test")).toBe(true), WAIT);
    web.closeAllConnections();
    web.close();
  });

  test.each<[string, () => Partial<FederationTarget>, RegExp]>([
    [
      "a server of another ID",
      () => ({ ...spiffe(), spiffeId: "spiffe://other.test/ns/a/sa/b" }),
      /the endpoint is .*istiod, not/,
    ],
    ["a host name that the certificate has not", () => ({ caFile: file("ca.pem") }), /altnames|IP: 127/],
    ["a server that nobody vouches for", () => ({}), /self-signed|unable to/],
  ])("%s is not believed", async (_, how, message) => {
    const before = how().bundleFile === undefined ? undefined : "kept";
    const { bundles, problems } = follow(how());
    await vi.waitFor(() => expect(problems()).toHaveLength(1), WAIT);
    expect(problems()[0]?.message).toMatch(message);
    expect(bundles.has("other.test")).toBe(before === "kept");
  });

  test.each<[string, number, string]>([
    ["no JWK set", 200, "<html>"],
    ["an error", 500, "{}"],
    ["a way to somewhere else", 302, ""],
  ])("%s leaves the last bundle in force", async (_, status, body) => {
    answer = { status, body };
    const { bundles, problems, changes } = follow(spiffe());
    await vi.waitFor(() => expect(problems()).toHaveLength(1), WAIT);
    expect(problems()[0]?.message).toMatch(/the bundle of the trust domain other\.test can't be had: .*stays in force/);
    expect([changes(), bundles.get("other.test")?.authorities.length]).toEqual([0, 1]);
  });

  test("our own trust domain is nobody else's to tell", () => {
    expect(() => follow({ trustDomain: "own.test" })).toThrow(/that is our own trust domain/);
  });
});
