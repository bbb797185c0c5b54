/** A workload gets its SVID: the proxy's agent against the control plane's CA, over real gRPC and TLS. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { X509Certificate } from "node:crypto";
import * as tls from "node:tls";
import { ChannelCredentials, Client, Metadata, Server, type ServiceError, status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openSelfSignedRoot } from "#certs/ca-files.ts";
import { type CertificateAuthority, createCertificateAuthority } from "#certs/certificate-authority.ts";
import { createCsr } from "#certs/csr.ts";
import { createKeyPair, privateKeyToPem } from "#certs/keys.ts";
import { certificatesFromPem } from "#certs/certificate.ts";
import { clientCertificateAuthenticator } from "#control-plane/ca/client-certificate-authenticator.ts";
import { createCaService } from "#control-plane/ca/ca-service.ts";
import { createServerCredentials, type RotatingServerCredentials } from "#control-plane/ca/server-credentials.ts";
import { tokenAuthenticator } from "#control-plane/ca/token-authenticator.ts";
import { openTokenIssuer, type TokenIssuer } from "#control-plane/ca/token-issuer.ts";
import { nodeRuntime } from "#lib/node-runtime.ts";
import type { Runtime } from "#lib/runtime.ts";
import { certificateServiceDefinition } from "#protos/certificate-service.ts";
import type { IstioCertificateRequest, IstioCertificateResponse } from "#protos/gen/istio/v1/auth/ca_pb.js";
import { createMessage } from "#protos/registry.ts";
import { createGrpcCaClient } from "#proxy/identity/grpc-ca-client.ts";
import { createWorkloadIdentity, type WorkloadIdentity } from "#proxy/identity/workload-identity.ts";
import { createStatsStore } from "#proxy/observability/stats-store.ts";
import type { Secret } from "#proxy/tls/types.ts";

const ID = "spiffe://cluster.local/ns/default/sa/web";
const METRICS = ["csrCount", "successCertIssuanceCount", "authenticationFailureCount", "csrParsingErrCount"] as const;

function metricsForTest() {
  const values = new Map<string, number>();
  const handle = (name: string) => ({
    inc: () => void values.set(name, (values.get(name) ?? 0) + 1),
    set: (value: number) => void values.set(name, value),
  });
  const handles = {
    ...(Object.fromEntries(METRICS.map((name) => [name, handle(name)])) as Record<
      (typeof METRICS)[number],
      ReturnType<typeof handle>
    >),
    csrSignErrCount: { inc: ({ error }: { readonly error: string }) => handle(`csrSignErrCount ${error}`).inc() },
    rootCertExpiryTimestamp: handle("rootCertExpiryTimestamp"),
    certChainExpiryTimestamp: handle("certChainExpiryTimestamp"),
  };
  return { values, handles };
}

let directory: string;
let logLines: string[];
let runtime: Runtime;
let authority: CertificateAuthority;
let tokens: TokenIssuer;
let serverCredentials: RotatingServerCredentials;
let server: Server;
let address: string;
let metrics: ReturnType<typeof metricsForTest>;
const closers: (() => void)[] = [];

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "glassmesh-ca-"));
  logLines = [];
  runtime = nodeRuntime({ writeLog: (line) => void logLines.push(line) });
  const { material } = await openSelfSignedRoot(join(directory, "ca"), "cluster.local", Date.now());
  authority = createCertificateAuthority({ material, clock: runtime.clock });
  tokens = await openTokenIssuer(join(directory, "tokens"), runtime.clock);
  writeFileSync(join(directory, "root.pem"), authority.rootsPem);
  metrics = metricsForTest();
  const service = createCaService({
    authority: () => authority,
    authenticators: [
      clientCertificateAuthenticator({ clock: runtime.clock, trustDomain: "cluster.local" }),
      tokenAuthenticator({
        clock: runtime.clock,
        trustDomain: "cluster.local",
        issuers: [{ issuer: tokens.issuer, keys: () => tokens.keys }],
        audiences: ["istio-ca"],
      }),
    ],
    metrics: metrics.handles,
    log: runtime.log,
  });
  serverCredentials = await createServerCredentials({ runtime, authority: () => authority });
  server = new Server();
  server.addService({ ...service.definition }, { ...service.implementation });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", serverCredentials.credentials, (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  address = `127.0.0.1:${port}`;
});

afterEach(() => {
  for (const close of closers.splice(0)) close();
  serverCredentials.close();
  server.forceShutdown();
  rmSync(directory, { recursive: true });
});

async function writeToken(options: { readonly ttlMs?: number; readonly audience?: string } = {}): Promise<string> {
  const file = join(directory, "token");
  writeFileSync(file, `${await tokens.mintToken({ namespace: "default", serviceAccount: "web", ...options })}\n`);
  return file;
}

function startIdentity(
  options: { readonly requestedTtlMs?: number; readonly trustDomain?: string; readonly keyType?: "RSA_2048" } = {},
): WorkloadIdentity {
  const config = {
    caAddress: address,
    caRootCertificateFile: join(directory, "root.pem"),
    tokenFile: join(directory, "token"),
    trustDomain: "cluster.local",
    keyType: "ECDSA_P256" as const,
    ...options,
  };
  const client = createGrpcCaClient({ config, clock: runtime.clock });
  const identity = createWorkloadIdentity({ runtime, config, client, scope: createStatsStore().root });
  closers.push(() => identity.close());
  return identity;
}

function nextSecret(identity: WorkloadIdentity, name: string): Promise<Secret> {
  return new Promise((resolve) => void identity.subscribe(name, resolve));
}

/** The first log line of this process that says so. */
async function logged(pattern: RegExp): Promise<string> {
  const find = (): string | undefined => logLines.find((line) => pattern.test(line));
  await expect.poll(find, { timeout: 15_000 }).toBeDefined();
  return find() ?? "";
}

interface RawCall {
  readonly request: Partial<Pick<IstioCertificateRequest, "csr" | "validityDuration" | "metadata">>;
  readonly token?: string;
  readonly clientCertificate?: { readonly key: string; readonly chain: string };
}

/** Calls the service as any other client would; resolves with the chain or with the error. */
function call({ request, token, clientCertificate }: RawCall): Promise<readonly string[] | ServiceError> {
  const { createCertificate } = certificateServiceDefinition();
  const credentials = ChannelCredentials.createSsl(
    Buffer.from(authority.rootsPem),
    clientCertificate === undefined ? null : Buffer.from(clientCertificate.key),
    clientCertificate === undefined ? null : Buffer.from(clientCertificate.chain),
  );
  const client = new Client(address.replace("127.0.0.1", "localhost"), credentials, {
    "grpc.use_local_subchannel_pool": 1,
  });
  closers.push(() => client.close());
  const metadata = new Metadata();
  if (token !== undefined) metadata.set("authorization", `Bearer ${token}`);
  const message = createMessage<IstioCertificateRequest>("istio.v1.auth.IstioCertificateRequest", request);
  return new Promise((resolve) => {
    client.makeUnaryRequest(
      createCertificate.path,
      createCertificate.requestSerialize,
      createCertificate.responseDeserialize,
      message,
      metadata,
      (error: ServiceError | null, response?: IstioCertificateResponse) => resolve(error ?? response?.certChain ?? []),
    );
  });
}

function refusal(result: readonly string[] | ServiceError): {
  readonly code: string | undefined;
  readonly details: string;
} {
  if (!("code" in result)) throw new Error("the call was answered");
  return { code: status[result.code], details: result.details };
}

function lifetimeSeconds(result: readonly string[] | ServiceError): number {
  if ("code" in result) throw result;
  const [leaf] = certificatesFromPem(result[0] ?? "", "leaf");
  return ((leaf?.notAfterMs ?? 0) - Date.now()) / 1000;
}

describe("istio.v1.auth.IstioCertificateService", () => {
  test("a proxy with a good token gets an SVID for the token's service account", async () => {
    await writeToken();
    const identity = startIdentity();
    const secret = await nextSecret(identity, "default");
    if (secret.kind !== "certificate") throw new Error("wrong kind");
    const leaf = new X509Certificate(secret.certificateChain);
    expect(leaf.subjectAltName).toBe(`URI:${ID}`);
    expect(leaf.verify(new X509Certificate(authority.rootsPem).publicKey)).toBe(true);
    expect(Date.parse(leaf.validTo) - Date.now()).toBeGreaterThan(86_000_000);
    const roots = await nextSecret(identity, "ROOTCA");
    expect(roots).toEqual({ kind: "validation", trustedCa: authority.rootsPem });
    expect(identity.current?.id.uri).toBe(ID);
    expect(metrics.values.get("csrCount")).toBe(1);
    expect(metrics.values.get("successCertIssuanceCount")).toBe(1);
  });

  test("an RSA-2048 key is certified as well", async () => {
    await writeToken();
    const secret = await nextSecret(startIdentity({ keyType: "RSA_2048" }), "default");
    const leaf = new X509Certificate(secret.kind === "certificate" ? secret.certificateChain : "");
    expect(leaf.publicKey.asymmetricKeyDetails?.modulusLength).toBe(2048);
  });

  test("the chain is leaf first, root last, and the SAN is the caller, whatever the CSR asks for", async () => {
    const csr = createCsr(await createKeyPair("ECDSA_P256"), "spiffe://cluster.local/ns/kube-system/sa/admin");
    const token = await tokens.mintToken({ namespace: "default", serviceAccount: "web" });
    const chain = await call({ request: { csr }, token });
    if ("code" in chain) throw chain;
    expect(chain.length).toBe(2);
    expect(new X509Certificate(chain[0] ?? "").subjectAltName).toBe(`URI:${ID}`);
    expect(chain.at(-1)).toBe(authority.rootsPem);
  });

  test("validity_duration is kept: one minute, the default of 24 h for 0, and no more than the limit", async () => {
    const csr = createCsr(await createKeyPair("ECDSA_P256"), ID);
    const token = await tokens.mintToken({ namespace: "default", serviceAccount: "web" });
    expect(lifetimeSeconds(await call({ request: { csr, validityDuration: 60n }, token }))).toBeCloseTo(60, -1);
    expect(lifetimeSeconds(await call({ request: { csr }, token })) / 3600).toBeCloseTo(24, 1);
    const tooLong = refusal(await call({ request: { csr, validityDuration: 91n * 86_400n }, token }));
    expect(tooLong).toEqual({
      code: "INVALID_ARGUMENT",
      details: expect.stringContaining("7862400 s; this CA signs for 1 s to 7776000 s"),
    });
    expect(metrics.values.get("csrSignErrCount ttl-out-of-range")).toBe(1);
    expect(refusal(await call({ request: { csr, validityDuration: -1n }, token })).code).toBe("INVALID_ARGUMENT");
  });

  test.each([
    ["no token", undefined, /brings no proof of identity\. Send the metadata "authorization: Bearer/],
    ["something else", "not-a-token", /it is no JWT; mount a fresh token/],
  ])("%s is UNAUTHENTICATED and says so", async (_, token, details) => {
    const csr = createCsr(await createKeyPair("ECDSA_P256"), ID);
    const result = refusal(await call(token === undefined ? { request: { csr } } : { request: { csr }, token }));
    expect(result).toEqual({ code: "UNAUTHENTICATED", details: expect.stringMatching(details) });
    expect(metrics.values.get("authenticationFailureCount")).toBe(1);
  });

  test.each([
    ["no PEM", "hello", 'one PEM block "CERTIFICATE REQUEST"'],
    [
      "another block",
      "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
      'one PEM block "CERTIFICATE REQUEST"',
    ],
    [
      "no DER",
      "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
      "The CSR cannot be read",
    ],
  ])("a CSR that is %s is INVALID_ARGUMENT", async (_, csr, details) => {
    const token = await tokens.mintToken({ namespace: "default", serviceAccount: "web" });
    const result = refusal(await call({ request: { csr }, token }));
    expect(result).toEqual({ code: "INVALID_ARGUMENT", details: expect.stringContaining(details) });
    expect(metrics.values.get("csrParsingErrCount")).toBe(1);
  });

  test("impersonation and other signers are refused by name; an empty CertSigner, as Istio's agents send it, is not", async () => {
    const csr = createCsr(await createKeyPair("ECDSA_P256"), ID);
    const token = await tokens.mintToken({ namespace: "default", serviceAccount: "web" });
    const ask = (metadata: Record<string, string>) => call({ request: { csr, metadata }, token });
    expect(refusal(await ask({ ImpersonatedIdentity: "spiffe://cluster.local/ns/a/sa/b" })).code).toBe(
      "PERMISSION_DENIED",
    );
    expect(refusal(await ask({ CertSigner: "other" })).details).toContain('"CertSigner" is not supported');
    expect(await ask({ CertSigner: "" })).toHaveLength(2);
  });

  test("a client certificate of the mesh renews without a token", async () => {
    const keys = await createKeyPair("ECDSA_P256");
    const csr = createCsr(keys, ID);
    const first = await call({
      request: { csr },
      token: await tokens.mintToken({ namespace: "default", serviceAccount: "web" }),
    });
    if ("code" in first) throw first;
    const clientCertificate = { key: privateKeyToPem(keys.privateKey), chain: first.slice(0, -1).join("") };
    const second = await call({ request: { csr }, clientCertificate });
    if ("code" in second) throw second;
    expect(new X509Certificate(second[0] ?? "").subjectAltName).toBe(`URI:${ID}`);
  });

  test("a client certificate of another CA proves nothing", async () => {
    const { material } = await openSelfSignedRoot(join(directory, "other"), "cluster.local", Date.now());
    const other = createCertificateAuthority({ material, clock: runtime.clock });
    const keys = await createKeyPair("ECDSA_P256");
    const publicKeyDer = keys.publicKey.export({ type: "spki", format: "der" });
    const id = { uri: ID, trustDomain: "cluster.local", path: "/ns/default/sa/web" };
    const { chain } = other.signWorkload({ publicKey: keys.publicKey, publicKeyDer }, id);
    const clientCertificate = { key: privateKeyToPem(keys.privateKey), chain: chain.slice(0, -1).join("") };
    const result = refusal(await call({ request: { csr: createCsr(keys, ID) }, clientCertificate }));
    expect(result.code).toBe("UNAUTHENTICATED");
  });
});

describe("glassmesh.identity", () => {
  test("an expired token is named, with its file and the way out, and the next one is taken", async () => {
    const file = await writeToken({ ttlMs: -60_000 });
    const identity = startIdentity();
    const line = await logged(/cannot get a certificate/);
    expect(line).toContain("this proxy has no certificate yet");
    expect(line).toContain(`refused the token in ${file}: token: it expired at `);
    expect(line).toContain("mount a fresh token of the workload's service account");
    await writeToken();
    expect((await nextSecret(identity, "default")).kind).toBe("certificate");
  });

  test("a token for another audience is named with both audiences", async () => {
    await writeToken({ audience: "vault" });
    startIdentity();
    expect(await logged(/cannot get a certificate/)).toContain(
      'wrong audience: it is for ["vault"], this CA wants "istio-ca"',
    );
  });

  test("a token of another key is a bad signature", async () => {
    const other = await openTokenIssuer(join(directory, "other-tokens"), runtime.clock);
    writeFileSync(join(directory, "token"), await other.mintToken({ namespace: "default", serviceAccount: "web" }));
    startIdentity();
    expect(await logged(/cannot get a certificate/)).toContain('bad signature: no key of "https://glassmesh.local"');
  });

  test("a token of an unknown issuer is named", async () => {
    const other = await openTokenIssuer(join(directory, "tokens"), runtime.clock, "https://elsewhere");
    writeFileSync(join(directory, "token"), await other.mintToken({ namespace: "default", serviceAccount: "web" }));
    startIdentity();
    expect(await logged(/cannot get a certificate/)).toContain(
      'unknown issuer "https://elsewhere"; this CA takes tokens of "https://glassmesh.local"',
    );
  });

  test("a missing token file is named", async () => {
    startIdentity();
    expect(await logged(/cannot get a certificate/)).toContain(
      `${join(directory, "token")} cannot be read (ENOENT); it should hold the token that proves who this workload is`,
    );
  });

  test("a CA that the root file does not vouch for is not believed", async () => {
    await writeToken();
    const { material } = await openSelfSignedRoot(join(directory, "other"), "cluster.local", Date.now());
    writeFileSync(join(directory, "root.pem"), createCertificateAuthority({ material, clock: runtime.clock }).rootsPem);
    startIdentity();
    const line = await logged(/cannot get a certificate/);
    expect(line).toContain(`is not the CA that ${join(directory, "root.pem")} vouches for`);
    expect(metrics.values.get("csrCount")).toBeUndefined();
  });

  test("a CA that is not there yet is tried until it is", async () => {
    await writeToken();
    const { port } = new URL(`http://${address}`);
    server.forceShutdown();
    const identity = startIdentity();
    await logged(/cannot be reached/);
    const again = new Server();
    const service = createCaService({
      authority: () => authority,
      authenticators: [
        tokenAuthenticator({
          clock: runtime.clock,
          trustDomain: "cluster.local",
          issuers: [{ issuer: tokens.issuer, keys: () => tokens.keys }],
          audiences: ["istio-ca"],
        }),
      ],
      metrics: metrics.handles,
      log: runtime.log,
    });
    again.addService({ ...service.definition }, { ...service.implementation });
    closers.push(() => again.forceShutdown());
    await new Promise<void>((resolve, reject) => {
      again.bindAsync(`127.0.0.1:${port}`, serverCredentials.credentials, (error) =>
        error ? reject(error) : resolve(),
      );
    });
    expect((await nextSecret(identity, "default")).kind).toBe("certificate");
  });

  test("an answer for another trust domain is refused and both are named", async () => {
    await writeToken();
    startIdentity({ trustDomain: "example.org" });
    expect(await logged(/cannot get a certificate/)).toMatch(
      /no SVID of the trust domain "example.org".*no trust bundle for the trust domain "cluster.local"/,
    );
  });

  test("certificates of two seconds are renewed over and over, each with a new key", async () => {
    await writeToken();
    const identity = startIdentity({ requestedTtlMs: 2000 });
    const seen = new Map<string, number>();
    await new Promise<void>((resolve) => {
      identity.subscribe("default", (secret) => {
        if (secret.kind !== "certificate") return;
        seen.set(secret.privateKey, new X509Certificate(secret.certificateChain).validToDate.getTime());
        // Whoever looks finds a certificate that is valid.
        expect([...seen.values()].at(-1)).toBeGreaterThan(Date.now());
        if (seen.size === 4) resolve();
      });
    });
    expect(seen.size).toBe(4);
  });
});

describe("control plane TLS", () => {
  function peerCertificate(): Promise<{ readonly names: string; readonly serial: string }> {
    return new Promise((resolve, reject) => {
      const [host = "", port = ""] = address.split(":");
      const socket = tls.connect({
        host,
        port: Number(port),
        ca: authority.rootsPem,
        servername: "istiod.istio-system.svc",
        ALPNProtocols: ["h2"],
      });
      socket.on("secureConnect", () => {
        const { subjectaltname = "", serialNumber } = socket.getPeerCertificate();
        socket.destroy();
        resolve({ names: subjectaltname, serial: serialNumber });
      });
      socket.on("error", reject);
    });
  }

  test("the serving certificate has istiod's names and is renewed while connections come in", async () => {
    serverCredentials.close();
    server.forceShutdown();
    serverCredentials = await createServerCredentials({ runtime, authority: () => authority, ttlMs: 3000 });
    server = new Server();
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", serverCredentials.credentials, (error, bound) =>
        error ? reject(error) : resolve(bound),
      );
    });
    address = `127.0.0.1:${port}`;
    const first = await peerCertificate();
    expect(first.names).toContain("DNS:istiod.istio-system.svc, ");
    expect(first.names).toContain("IP Address:127.0.0.1");
    await expect.poll(async () => (await peerCertificate()).serial, { timeout: 10_000 }).not.toBe(first.serial);
  });
});
