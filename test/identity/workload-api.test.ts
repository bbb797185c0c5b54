/** A workload's certificate from a SPIFFE Workload API: over a real Unix socket, against an agent that speaks the protocol. */
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Metadata, Server, ServerCredentials, type ServerWritableStream, status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createCertificateAuthority, type CertificateAuthority } from "#certs/certificate-authority.ts";
import { certificatesFromPem } from "#certs/certificate.ts";
import { createKeyPair } from "#certs/keys.ts";
import { selfSignedRoot } from "#certs/signing-material.ts";
import { parseSpiffeId } from "#certs/spiffe-id.ts";
import { testCrl } from "#certs/test-certificates.ts";
import { nodeRuntime } from "#lib/node-runtime.ts";
import type { X509SVIDRequest, X509SVIDResponse } from "#protos/gen/spiffe/workload/workload_pb.js";
import type { WorkloadIdentity as IdentityMessage } from "#protos/gen/glassmesh/config/v1/workload_identity_pb.js";
import { messageFromJson } from "#protos/json.ts";
import { createMessage } from "#protos/registry.ts";
import { workloadApiDefinition } from "#protos/workload-api.ts";
import type { WorkloadIdentity } from "#proxy/identity/workload-identity.ts";
import { createStatsStore } from "#proxy/observability/stats-store.ts";
import { startIdentity } from "#proxy/server/identity.ts";
import type { Secret } from "#proxy/tls/types.ts";

const WAIT = { timeout: 10_000, interval: 10 };
const ID = "spiffe://example.org/web";

type Call = ServerWritableStream<X509SVIDRequest, X509SVIDResponse>;

/** A root with its key; issues SVIDs as an agent has them. */
async function domain(name: string) {
  const { privateKey: key } = await createKeyPair("ECDSA_P256");
  const certificate = selfSignedRoot(key, name, Date.now());
  const clock = nodeRuntime({ logLevel: "off" }).clock;
  const material = { certificate, key, intermediates: [], roots: [certificate] };
  const authority: CertificateAuthority = createCertificateAuthority({ material, clock });
  return {
    der: certificate.der,
    pem: authority.rootsPem,
    key,
    certificate,
    async svid(id: string) {
      const { publicKey, privateKey } = await createKeyPair("ECDSA_P256");
      const publicKeyDer = publicKey.export({ type: "spki", format: "der" });
      const { chain } = authority.signWorkload({ publicKey, publicKeyDer }, parseSpiffeId(id));
      const leaves = chain.slice(0, -1).flatMap((pem) => certificatesFromPem(pem, "leaf"));
      return {
        spiffeId: id,
        x509Svid: new Uint8Array(Buffer.concat(leaves.map(({ der }) => der))),
        x509SvidKey: new Uint8Array(privateKey.export({ type: "pkcs8", format: "der" })),
        bundle: new Uint8Array(certificate.der),
      };
    },
  };
}

const own = await domain("example.org");
const other = await domain("other.test");

let directory: string;
let socketPath: string;
let server: Server | undefined;
let calls: Call[];
let refusal: { code: status; details: string } | undefined;
let logLines: string[];
let identity: WorkloadIdentity | undefined;
let heard: Secret[];

async function startAgent(): Promise<void> {
  server = new Server();
  server.addService(
    { ...workloadApiDefinition() },
    {
      fetchX509Svid: (call: Call) => {
        // As SPIRE: who does not send the header may be a browser that was tricked.
        const isMarked = call.metadata.get("workload.spiffe.io")[0] === "true";
        const failure = isMarked ? refusal : { code: status.INVALID_ARGUMENT, details: "security header missing" };
        if (failure !== undefined) call.emit("error", { ...failure, metadata: new Metadata() });
        else calls.push(call);
      },
    },
  );
  const agent = server;
  await new Promise<void>((resolve, reject) => {
    agent.bindAsync(`unix:${socketPath}`, ServerCredentials.createInsecure(), (error) => {
      if (error === null) resolve();
      else reject(error);
    });
  });
  chmodSync(socketPath, 0o700);
}

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "glassmesh-spire-"));
  socketPath = join(directory, "agent.sock");
  calls = [];
  heard = [];
  logLines = [];
  refusal = undefined;
  await startAgent();
});

afterEach(() => {
  identity?.close();
  server?.forceShutdown();
  rmSync(directory, { recursive: true });
});

function begin(): WorkloadIdentity {
  const { value } = messageFromJson("glassmesh.config.v1.WorkloadIdentity", {
    spiffe_workload_socket: `unix://${socketPath}`,
    trust_domain: "example.org",
  });
  const runtime = nodeRuntime({ writeLog: (line) => void logLines.push(line) });
  const started = startIdentity(value as IdentityMessage, runtime, createStatsStore().root);
  for (const name of ["default", "ROOTCA"]) started.subscribe(name, (secret) => void heard.push(secret));
  identity = started;
  return started;
}

type Init = Parameters<typeof createMessage<X509SVIDResponse>>[1];
const send = async (init: Init, index = -1): Promise<void> => {
  await vi.waitFor(() => expect(calls.length).toBeGreaterThan(0), WAIT);
  calls.at(index)?.write(createMessage<X509SVIDResponse>("X509SVIDResponse", init));
};
const chainNow = (): string | undefined => {
  const last = heard.findLast(({ kind }) => kind === "certificate");
  return last?.kind === "certificate" ? last.certificateChain : undefined;
};

describe("SPIFFE Workload API", () => {
  test("the default SVID of our trust domain becomes the workload's secrets, and each new one", async () => {
    const started = begin();
    await send({ svids: [await other.svid("spiffe://other.test/web"), await own.svid(ID), await own.svid(`${ID}/2`)] });
    await vi.waitFor(() => expect(started.current?.id.uri).toBe(ID), WAIT);
    expect(heard.map(({ kind }) => kind)).toEqual(["validation", "certificate"]);
    expect(heard[0]).toEqual({ kind: "validation", trustedCa: own.pem });
    const first = chainNow();
    await send({ svids: [await own.svid(ID)] });
    await vi.waitFor(() => expect(chainNow()).not.toBe(first), WAIT);
    expect(heard.map(({ kind }) => kind)).toEqual(["validation", "certificate", "certificate"]);
  });

  test("bundles of other domains count for their names only; revocation lists go along", async () => {
    begin();
    const federatedBundles = { "spiffe://other.test": new Uint8Array(other.der) };
    const now = Date.now();
    const list = testCrl(own, ["01"], { thisUpdateMs: now - 60_000, nextUpdateMs: now + 3_600_000 });
    const crl = [new Uint8Array(Buffer.from(list.replace(/-----[^-]+-----|\n/g, ""), "base64"))];
    await send({ svids: [await own.svid(ID)], federatedBundles, crl });
    await vi.waitFor(() => expect(heard).toHaveLength(2), WAIT);
    expect(heard[0]).toMatchObject({
      trustDomains: new Map([
        ["other.test", other.pem],
        ["example.org", own.pem],
      ]),
      crl: expect.stringMatching(/^-----BEGIN X509 CRL-----/),
    });
  });

  test("while the agent is away the last SVID is served; when it is back it is asked again", async () => {
    begin();
    await send({ svids: [await own.svid(ID)] });
    await vi.waitFor(() => expect(heard).toHaveLength(2), WAIT);
    server?.forceShutdown();
    await vi.waitFor(
      () => expect(logLines.join("\n")).toMatch(/the certificate in use is good for \d+ s more; next try/),
      WAIT,
    );
    expect(chainNow()).toBeDefined();
    calls = [];
    await startAgent();
    await send({ svids: [await own.svid(ID)] });
    await vi.waitFor(() => expect(heard).toHaveLength(3), WAIT);
  });

  test("a workload that is not registered waits, and is told why", async () => {
    refusal = { code: status.PERMISSION_DENIED, details: "no identity issued" };
    begin();
    await vi.waitFor(
      () =>
        expect(logLines.join("\n")).toMatch(
          /knows no identity for this process: no identity issued.*no certificate yet/,
        ),
      WAIT,
    );
    refusal = undefined;
    await send({ svids: [await own.svid(ID)] });
    await vi.waitFor(() => expect(heard).toHaveLength(2), WAIT);
  });

  test.each<[string, () => Promise<Init>, RegExp]>([
    ["no SVID", async () => ({ svids: [] }), /it has none\. Register the workload/],
    [
      "an SVID of another domain",
      async () => ({ svids: [await other.svid("spiffe://other.test/a")] }),
      /it has spiffe:\/\/other\.test\/a/,
    ],
    [
      "the key of another",
      async () => ({ svids: [{ ...(await own.svid(ID)), x509SvidKey: (await own.svid(ID)).x509SvidKey }] }),
      /is another certificate's/,
    ],
    [
      "a chain of another root",
      async () => ({ svids: [{ ...(await own.svid(ID)), bundle: new Uint8Array(other.der) }] }),
      /is no SVID/,
    ],
    [
      "another name than it says",
      async () => ({ svids: [{ ...(await own.svid(`${ID}/b`)), spiffeId: ID }] }),
      /is of spiffe:\/\/example\.org\/web\/b/,
    ],
    [
      "no DER",
      async () => ({ svids: [{ ...(await own.svid(ID)), x509Svid: new Uint8Array([1, 2, 3]) }] }),
      /can't be read|no certificate/,
    ],
    ["no key", async () => ({ svids: [{ ...(await own.svid(ID)), x509SvidKey: new Uint8Array([0]) }] }), /no PKCS#8/],
    [
      "a list that is none",
      async () => ({ svids: [await own.svid(ID)], crl: [new Uint8Array([0x30, 0])] }),
      /revocation lists/,
    ],
  ])("%s is not used, and the log says why", async (_, init, message) => {
    begin();
    await send(await init());
    await vi.waitFor(() => expect(logLines.join("\n")).toMatch(message), WAIT);
    expect(heard).toEqual([]);
    await send({ svids: [await own.svid(ID)] });
    await vi.waitFor(() => expect(heard).toHaveLength(2), WAIT);
  });

  test("a socket that is not there is named", async () => {
    server?.forceShutdown();
    rmSync(socketPath, { force: true });
    begin();
    await vi.waitFor(() => expect(logLines.join("\n")).toMatch(/no Workload API answers at .*agent\.sock/), WAIT);
  });
});
