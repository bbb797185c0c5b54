/** Debugging over xDS, by a client of our own, and by a real istioctl where there is one (`ISTIOCTL`, or on the PATH). */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { fromBinary } from "@bufbuild/protobuf";
import { ChannelCredentials, Client, type ClientDuplexStream } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { openSelfSignedRoot } from "#certs/ca-files.ts";
import { createCertificateAuthority } from "#certs/certificate-authority.ts";
import { createKeyPair, privateKeyToPem } from "#certs/keys.ts";
import { istioSpiffeId } from "#certs/spiffe-id.ts";
import { createMemorySource } from "#control-plane/config/memory-source.ts";
import { createControlPlane, type BoundPorts } from "#control-plane/server.ts";
import { discoveryServiceDefinition } from "#control-plane/xds/discovery-service.ts";
import { CDS, LDS } from "#control-plane/xds/resource-types.ts";
import { nodeRuntime } from "#lib/node-runtime.ts";
import type { DiscoveryRequest, DiscoveryResponse } from "#protos/gen/envoy/service/discovery/v3/discovery_pb.js";
import type { ClientConfig } from "#protos/gen/envoy/service/status/v3/csds_pb.js";
import { createMessage, schema } from "#protos/registry.ts";

const run = promisify(execFile);
const istioctl = process.env["ISTIOCTL"] ?? "istioctl";
const hasIstioctl = await run(istioctl, ["version", "--remote=false"]).then(
  () => true,
  () => false,
);
if (!hasIstioctl) process.stderr.write("tests with a real istioctl are skipped: set ISTIOCTL to its path\n");

const manifests = `
apiVersion: v1
kind: Service
metadata: { name: web }
spec: { clusterIP: 10.96.0.1, selector: { app: web }, ports: [{ name: http, port: 80 }] }
`;

describe("istio.io/debug over xDS", () => {
  const runtime = nodeRuntime({ logLevel: "off" });
  const directory = mkdtempSync(join(tmpdir(), "debug-xds-"));
  const clients: Client[] = [];
  const controlPlane = createControlPlane({
    runtime,
    sources: [createMemorySource({ "mesh.yaml": manifests })],
    options: { stateDirectory: directory, ports: { grpc: 0, secureGrpc: 0 }, debounceMs: { quiet: 5, max: 100 } },
  });
  let ports: BoundPorts;

  beforeAll(async () => {
    ports = await controlPlane.start();
    for (const [name, namespace] of [
      ["web-0", "default"],
      ["shop-0", "shop"],
    ] as const) {
      const { call } = stream(undefined);
      call.on("data", ({ typeUrl, nonce }: DiscoveryResponse) => {
        const errorDetail = typeUrl === LDS.typeUrl ? { code: 13, message: "no such filter" } : undefined;
        call.write(request({ typeUrl, responseNonce: nonce, ...(errorDetail && { errorDetail }) }));
      });
      const metadata = { NAMESPACE: namespace, CLUSTER_ID: "Kubernetes", ISTIO_VERSION: "1.32.0" };
      call.write(request({ node: { id: `sidecar~10.0.0.9~${name}.${namespace}~x`, metadata }, typeUrl: CDS.typeUrl }));
      if (name === "web-0") call.write(request({ typeUrl: LDS.typeUrl }));
    }
    await vi.waitFor(() => {
      const states = controlPlane
        .connections()
        .flatMap((one) => [...one.statuses().values()].map(({ state }) => state));
      expect(states.toSorted()).toEqual(["NACK", "SYNCED", "SYNCED"]);
    });
  });

  afterAll(async () => {
    for (const client of clients) client.close();
    await controlPlane.close();
    rmSync(directory, { recursive: true });
  });

  const request = (init: object): DiscoveryRequest =>
    createMessage<DiscoveryRequest>("envoy.service.discovery.v3.DiscoveryRequest", init);

  /** Without files over the plaintext port. */
  function stream(files: CertificateFiles | undefined): {
    readonly call: ClientDuplexStream<DiscoveryRequest, DiscoveryResponse>;
  } {
    const port = files === undefined ? ports.grpc : ports.secureGrpc;
    const credentials =
      files === undefined
        ? ChannelCredentials.createInsecure()
        : ChannelCredentials.createSsl(Buffer.from(files.roots), Buffer.from(files.key), Buffer.from(files.chain));
    const client = new Client(`127.0.0.1:${port}`, credentials, { "grpc.ssl_target_name_override": "localhost" });
    clients.push(client);
    const { streamAggregatedResources: method } = discoveryServiceDefinition();
    const call = client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize);
    call.on("error", () => undefined);
    return { call };
  }

  interface CertificateFiles {
    readonly chain: string;
    readonly key: string;
    readonly roots: string;
  }

  async function certificateOf(namespace: string): Promise<CertificateFiles> {
    const { material } = await openSelfSignedRoot(directory, "cluster.local", runtime.clock.now());
    const { publicKey, privateKey } = await createKeyPair("ECDSA_P256");
    const publicKeyDer = publicKey.export({ type: "spki", format: "der" });
    const id = istioSpiffeId({ trustDomain: "cluster.local", namespace, serviceAccount: "default" });
    const authority = createCertificateAuthority({ material, clock: runtime.clock });
    const { chain } = authority.signWorkload({ publicKey, publicKeyDer }, id);
    return { chain: chain.slice(0, -1).join(""), key: privateKeyToPem(privateKey), roots: controlPlane.rootsPem };
  }

  /** The answer, or why there is none. */
  async function ask(
    namespace: string | undefined,
    typeUrl: string,
    resourceNames: readonly string[] = [],
  ): Promise<DiscoveryResponse | Error> {
    const { call } = stream(namespace === undefined ? undefined : await certificateOf(namespace));
    return new Promise((resolve) => {
      call.on("data", resolve);
      call.on("error", resolve);
      const metadata = { GENERATOR: "event", NAMESPACE: namespace ?? "istio-system" };
      const node = { id: `sidecar~10.0.0.1~istioctl.${namespace ?? "istio-system"}~x`, metadata };
      // As istioctl: a nonce of its own at once.
      call.write(request({ node, typeUrl, resourceNames, responseNonce: "2026-01-01 00:00:00" }));
    });
  }

  const resources = (answer: DiscoveryResponse | Error): DiscoveryResponse["resources"] => {
    if (answer instanceof Error) throw answer;
    return answer.resources;
  };
  const namesOf = (answer: DiscoveryResponse | Error): readonly (string | undefined)[] =>
    resources(answer).map(
      ({ value }) => fromBinary(schema<ClientConfig>("envoy.service.status.v3.ClientConfig"), value).node?.id,
    );

  test("syncz: a ClientConfig a proxy, with the state of each type and why it was refused", async () => {
    const answer = await ask("istio-system", "istio.io/debug/syncz");
    expect(namesOf(answer)).toEqual(["web-0.default", "shop-0.shop"]);
    const [first] = resources(answer);
    const config = fromBinary(
      schema<ClientConfig>("envoy.service.status.v3.ClientConfig"),
      first?.value ?? Buffer.of(),
    );
    expect(config.node?.metadata).toMatchObject({ CLUSTER_ID: "Kubernetes", NAMESPACE: "default" });
    expect(config.genericXdsConfigs.map((one) => [one.typeUrl, one.configStatus, one.errorState?.details])).toEqual([
      [CDS.typeUrl, 1, undefined],
      [LDS.typeUrl, 4, "no such filter"],
    ]);
    expect(controlPlane.connections()).toHaveLength(2);
  });

  test("who is of another namespace sees its own proxies only", async () => {
    expect(namesOf(await ask("shop", "istio.io/debug/syncz"))).toEqual(["shop-0.shop"]);
    expect(resources(await ask("shop", "istio.io/debug/config_dump", ["web-0.default"]))).toEqual([]);
    const own = resources(await ask("shop", "istio.io/debug/config_dump", ["shop-0.shop"]));
    expect(own.map(({ typeUrl }) => typeUrl)).toContain("type.googleapis.com/envoy.admin.v3.ClustersConfigDump");
    const foreign = resources(await ask("shop", "istio.io/debug", ["config_dump?proxyID=web-0.default"]));
    expect(Buffer.from(foreign[0]?.value ?? []).toString()).toMatch(/^no proxy web-0.default is connected/);
  });

  test.each([
    ["syncz"],
    ["configz"],
    ["config_dump/../syncz"],
    ["config_dump%2f..%2fsyncz"],
    [String.raw`config_dump\..\syncz`],
  ])("the page %s is refused to who is not of the system namespace", async (name) => {
    expect(await ask("shop", "istio.io/debug", [name])).toMatchObject({ code: 7 });
  });

  test("a page is its text, of type istio.io/debug", async () => {
    const [page] = resources(await ask("istio-system", "istio.io/debug", ["registryz"]));
    expect(page?.typeUrl).toBe("istio.io/debug");
    expect(Buffer.from(page?.value ?? []).toString()).toContain("web.default.svc.cluster.local");
    expect(await ask("istio-system", "istio.io/debug", [])).toMatchObject({ code: 3 });
  });

  test("nobody who has not proved who asks is answered", async () => {
    expect(await ask(undefined, "istio.io/debug/syncz")).toMatchObject({ code: 16 });
    expect(await ask(undefined, "istio.io/debug", ["syncz"])).toMatchObject({ code: 16 });
  });

  describe.skipIf(!hasIstioctl)("a real istioctl", () => {
    async function ctl(...args: readonly string[]): Promise<string> {
      const { chain, key, roots } = await certificateOf("istio-system");
      writeFileSync(join(directory, "cert-chain.pem"), chain);
      writeFileSync(join(directory, "key.pem"), key);
      writeFileSync(join(directory, "root-cert.pem"), roots);
      const kubeconfig = join(directory, "kubeconfig");
      const cluster = { name: "none", cluster: { server: "http://127.0.0.1:1" } };
      const context = { name: "none", context: { cluster: "none", user: "" } };
      writeFileSync(
        kubeconfig,
        JSON.stringify({
          apiVersion: "v1",
          kind: "Config",
          clusters: [cluster],
          contexts: [context],
          "current-context": "none",
        }),
      );
      // With a revision it does not ask the cluster, of which there is none, for the default one.
      const address = [
        "--revision",
        "default",
        "--xds-address",
        `localhost:${ports.secureGrpc}`,
        "--cert-dir",
        directory,
      ];
      const { stdout } = await run(istioctl, [...args, ...address], {
        env: { ...process.env, KUBECONFIG: kubeconfig },
        timeout: 30_000,
      });
      return stdout;
    }

    test("proxy-status is its table", async () => {
      const lines = (await ctl("proxy-status", "-v", "1")).trimEnd().split("\n");
      expect(lines[0]).toMatch(/^NAME +CLUSTER +CDS +ECDS +EDS +LDS +RDS +ISTIOD +VERSION/);
      expect(lines.slice(1).map((line) => line.split(/ {2,}/).slice(0, 6))).toEqual([
        ["shop-0.shop", "Kubernetes", "SYNCED", "IGNORED", "IGNORED", "IGNORED"],
        ["web-0.default", "Kubernetes", "SYNCED", "IGNORED", "IGNORED", "ERROR"],
      ]);
    });

    test("internal-debug shows a page", async () => {
      expect(await ctl("experimental", "internal-debug", "registryz")).toContain("web.default.svc.cluster.local");
    });
  });
});
