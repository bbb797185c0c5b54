import { describe, expect, test } from "vitest";
import { certificateToPem } from "#certs/certificate.ts";
import { testRoot } from "#certs/test-certificates.ts";
import type { ProxyConfig } from "#protos/gen/istio/mesh/v1alpha1/proxy_pb.js";
import { createMessage } from "#protos/registry.ts";
import type { WildcardHandler, XdsClient } from "../xds/types.ts";
import { followTrust } from "./follow-trust.ts";
import type { MeshTrust } from "./types.ts";

function world() {
  const handlers: WildcardHandler[] = [];
  const heard: MeshTrust[] = [];
  const client = {
    wildcard: (_type: string, given: WildcardHandler) => {
      handlers.push(given);
      return { close() {} };
    },
  } as Partial<XdsClient> as XdsClient;
  followTrust(client, { trust: (mesh) => void heard.push(mesh) });
  const receive = (config: { proxyMetadata?: Record<string, string>; caCertificatesPem?: string[] }) =>
    handlers[0]?.onUpdate(
      [{ name: "", version: "1", message: createMessage<ProxyConfig>("istio.mesh.v1alpha1.ProxyConfig", config) }],
      [],
    );
  return { heard, receive };
}

describe("istio.mesh.v1alpha1.ProxyConfig (PCDS)", () => {
  test("roots, each once, and who signs", async () => {
    const { heard, receive } = world();
    const [one, two] = [await testRoot(), await testRoot({ subject: "O=two" })].map(({ certificate }) => certificate);
    if (one === undefined || two === undefined) throw new Error("no roots");
    const proxyMetadata = { GLASSMESH_CA_SIGNER: one.sha256, OTHER: "x" };
    const caCertificatesPem = [certificateToPem(one) + certificateToPem(two), certificateToPem(one)];
    expect(receive({ caCertificatesPem, proxyMetadata })).toEqual([]);
    expect(heard).toEqual([{ roots: [one, two], signer: one.sha256, crl: undefined }]);
  });

  test("an istiod that says nothing of roots changes nothing", () => {
    const { heard, receive } = world();
    expect(receive({})).toEqual([]);
    expect(heard).toEqual([]);
  });

  test("what is no certificate is refused, and nothing of it is used", async () => {
    const { heard, receive } = world();
    const good = certificateToPem((await testRoot()).certificate);
    const refused = receive({
      caCertificatesPem: [good, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"],
    });
    expect(refused).toMatchObject([{ problems: [{ path: "ca_certificates_pem", level: "error" }] }]);
    expect(heard).toEqual([]);
  });
});
