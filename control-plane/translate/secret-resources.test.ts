import { generateKeyPairSync } from "node:crypto";
import { describe, expect, test } from "vitest";
import { certificateToPem } from "#certs/certificate.ts";
import { privateKeyToPem } from "#certs/keys.ts";
import { selfSignedRoot } from "#certs/signing-material.ts";
import { parseManifests } from "../config/parse-manifests.ts";
import { buildMeshIndex } from "../model/build-mesh-index.ts";
import { proxyNodeFrom, withMesh } from "../model/proxy-node-from.ts";
import { readMeshConfig } from "../model/read-mesh-config.ts";
import { createTranslator } from "./translator.ts";
import type { ProvenIdentity } from "./credential-access.ts";

function pair(): { readonly certificate: string; readonly key: string } {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const certificate = selfSignedRoot(privateKey, "cluster.local", Date.UTC(2026, 0, 1));
  return { certificate: certificateToPem(certificate), key: privateKeyToPem(privateKey) };
}

const one = pair();
const other = pair();
const base64 = (text: string): string => Buffer.from(text).toString("base64");

const secret = (name: string, data: Readonly<Record<string, string>>, namespace = "edge"): string =>
  JSON.stringify({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name, namespace },
    data: Object.fromEntries(Object.entries(data).map(([key, value]) => [key, base64(value)])),
  });

const gateway = (tls: string, namespace = "edge"): string =>
  `{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: gw, namespace: ${namespace}}, spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: ["*"], tls: ${tls}}]}}`;

const tlsSecret = secret("web", { "tls.crt": one.certificate, "tls.key": one.key, "ca.crt": other.certificate });
const EDGE: ProvenIdentity = { namespace: "edge", serviceAccount: "ingress" };

function served(
  names: readonly string[],
  objects: readonly string[],
  identity: ProvenIdentity | undefined = EDGE,
  type: "router" | "sidecar" = "router",
) {
  const mesh = buildMeshIndex(
    parseManifests(objects.join("\n---\n"), "in.yaml").objects,
    readMeshConfig([]).meshConfig,
  );
  const node = proxyNodeFrom({
    id: `${type}~10.0.0.1~ingress-1.edge~edge.svc.cluster.local`,
    metadata: { LABELS: { istio: "ingressgateway" } },
  }).value;
  if (node === undefined) throw new Error("no node");
  const { resources, problems } = createTranslator().secrets(mesh, withMesh(node, mesh).node, names, identity);
  return { resources, problems: problems.map(({ code, object, message }) => `${code} ${object}: ${message}`) };
}

const simple = gateway("{mode: SIMPLE, credentialName: web}");
const mutual = gateway("{mode: MUTUAL, credentialName: web}");

describe("Secret → SDS", () => {
  test("kubernetes.io/tls: certificate and key, and the CA beside it", () => {
    const { resources, problems } = served(["kubernetes://web", "kubernetes://web-cacert"], [mutual, tlsSecret]);
    expect(problems).toEqual([]);
    expect(resources).toEqual([
      {
        name: "kubernetes://web",
        tlsCertificate: {
          certificateChain: { inlineBytes: base64(one.certificate) },
          privateKey: { inlineBytes: base64(one.key) },
        },
      },
      {
        name: "kubernetes://web-cacert",
        validationContext: { trustedCa: { inlineBytes: base64(other.certificate) } },
      },
    ]);
  });

  test("a generic Secret: cert, key, cacert, crl", () => {
    const generic = secret("web", { cert: one.certificate, key: one.key, cacert: other.certificate, crl: "list" });
    const { resources } = served(["kubernetes://web", "kubernetes://web-cacert"], [mutual, generic]);
    expect(resources).toMatchObject([
      { tlsCertificate: { privateKey: { inlineBytes: base64(one.key) } } },
      {
        validationContext: {
          trustedCa: { inlineBytes: base64(other.certificate) },
          crl: { inlineBytes: base64("list") },
        },
      },
    ]);
  });

  test("a Secret of the name with -cacert holds the CA", () => {
    const authority = secret("web-cacert", { "ca.crt": one.certificate });
    const { resources } = served(["kubernetes://web-cacert"], [mutual, tlsSecret, authority]);
    expect(resources).toMatchObject([{ validationContext: { trustedCa: { inlineBytes: base64(one.certificate) } } }]);
  });

  test("a Secret that is not there leaves the others alone", () => {
    const { resources, problems } = served(
      ["kubernetes://web", "kubernetes://web-cacert"],
      [mutual, secret("web", { "tls.crt": one.certificate, "tls.key": one.key })],
    );
    expect(resources).toMatchObject([{ name: "kubernetes://web" }]);
    expect(problems).toEqual([
      "invalid-secret Secret edge/web: it must have the key ca.crt or cacert; it has tls.crt, tls.key; ingress-1 does not get it, and keeps what it has of it.",
    ]);
    expect(served(["kubernetes://web"], [simple]).problems).toEqual([
      "secret-not-served SDS kubernetes://web: is not served to ingress-1.edge: there is no Secret edge/web.",
    ]);
  });

  test.each([
    ["no certificate", { "tls.crt": "nonsense", "tls.key": one.key }, "its certificate is no PEM certificate"],
    ["no key", { "tls.crt": one.certificate, "tls.key": "nonsense" }, "its private key can't be read"],
    [
      "a key of another certificate",
      { "tls.crt": one.certificate, "tls.key": other.key },
      "its private key is not that of its certificate",
    ],
    ["empty values", { "tls.crt": "", "tls.key": "" }, "it must have the keys tls.crt and tls.key"],
  ])("%s: refused, with the reason", (_what, data, why) => {
    const { resources, problems } = served(["kubernetes://web"], [simple, secret("web", data)]);
    expect(resources).toEqual([]);
    expect(problems).toEqual([expect.stringContaining(why)]);
  });
});

describe("which Secrets a proxy may have", () => {
  const refused = (names: readonly string[], objects: readonly string[], identity?: ProvenIdentity): string => {
    const { resources, problems } = served(names, objects, identity ?? EDGE);
    expect(resources).toEqual([]);
    return problems[0] ?? "";
  };

  test("none without a proven identity", () => {
    const { resources, problems } = ((): ReturnType<typeof served> => {
      const mesh = buildMeshIndex(
        parseManifests([simple, tlsSecret].join("\n---\n"), "in.yaml").objects,
        readMeshConfig([]).meshConfig,
      );
      const node = proxyNodeFrom({
        id: "router~10.0.0.1~i.edge~edge.svc.cluster.local",
        metadata: { LABELS: { istio: "ingressgateway" } },
      }).value;
      if (node === undefined) throw new Error("no node");
      const made = createTranslator().secrets(mesh, node, ["kubernetes://web"], undefined);
      return { resources: made.resources, problems: made.problems.map(({ message }) => message) };
    })();
    expect(resources).toEqual([]);
    expect(problems).toEqual([expect.stringContaining("has not proved who it is")]);
  });

  test("not those of another namespace", () => {
    const away = secret("web", { "tls.crt": one.certificate, "tls.key": one.key }, "default");
    const names = gateway("{mode: SIMPLE, credentialName: kubernetes://default/web}");
    expect(refused(["kubernetes://default/web"], [names, away])).toContain("of another namespace than the proxy, edge");
  });

  test("not those that nothing in its configuration names", () => {
    expect(refused(["kubernetes://web"], [gateway("{mode: SIMPLE, credentialName: else}"), tlsSecret])).toContain(
      "nothing in the configuration of this proxy names it",
    );
  });

  test("a ReferenceGrant lets a Gateway of the proxy's namespace use one of another", () => {
    const away = secret("web", { "tls.crt": one.certificate, "tls.key": one.key }, "certificates");
    const names = gateway("{mode: SIMPLE, credentialName: kubernetes-gateway://certificates/web}");
    const grant = (from: string): string =>
      `{apiVersion: gateway.networking.k8s.io/v1beta1, kind: ReferenceGrant, metadata: {name: g, namespace: certificates}, spec: {from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: ${from}}], to: [{group: "", kind: Secret, name: web}]}}`;
    const name = "kubernetes-gateway://certificates/web";
    expect(refused([name], [names, away])).toContain("a ReferenceGrant is needed");
    expect(refused([name], [names, away, grant("default")])).toContain("a ReferenceGrant is needed");
    expect(served([name], [names, away, grant("edge")]).resources).toMatchObject([{ name }]);
  });

  test("a DestinationRule's Secret is for gateways; a Gateway elsewhere that selects the proxy means the proxy's namespace", () => {
    const rule =
      "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: d, namespace: default}, spec: {host: a.com, trafficPolicy: {tls: {mode: SIMPLE, credentialName: web}}}}";
    expect(served(["kubernetes://web-cacert"], [rule, tlsSecret]).resources).toHaveLength(1);
    expect(
      served(["kubernetes://web"], [gateway("{mode: SIMPLE, credentialName: web}", "default"), tlsSecret]).resources,
    ).toHaveLength(1);
  });

  test("a sidecar gets those of DestinationRules of its namespace that select it, and none of Gateways", () => {
    const rule = (selector: string, namespace = "edge"): string =>
      `{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: d, namespace: ${namespace}}, spec: {host: a.com, ${selector} trafficPolicy: {portLevelSettings: [{port: {number: 443}, tls: {mode: MUTUAL, credentialName: web}}]}}}`;
    const selecting = "workloadSelector: {matchLabels: {istio: ingressgateway}},";
    const count = (...objects: readonly string[]): number =>
      served(["kubernetes://web"], [...objects, tlsSecret], EDGE, "sidecar").resources.length;
    expect(count(rule(selecting))).toBe(1);
    expect(count(rule("workloadSelector: {matchLabels: {istio: other}},"))).toBe(0);
    expect(count(rule(selecting, "default"))).toBe(0);
    expect(count(rule(""))).toBe(0);
    expect(count(simple)).toBe(0);
  });

  test("an internal Gateway's certificates are for its service account alone", () => {
    const bound = JSON.stringify({
      apiVersion: "networking.istio.io/v1",
      kind: "Gateway",
      metadata: { name: "gw", namespace: "edge", annotations: { "internal.istio.io/service-account-name": "other" } },
      spec: {
        selector: { istio: "ingressgateway" },
        servers: [
          {
            port: { number: 443, name: "h", protocol: "HTTPS" },
            hosts: ["*"],
            tls: { mode: "SIMPLE", credentialName: "kubernetes-gateway://edge/web" },
          },
        ],
      },
    });
    expect(refused(["kubernetes-gateway://edge/web"], [bound, tlsSecret])).toContain("no Gateway of namespace edge");
    const name = "kubernetes-gateway://edge/web";
    expect(served([name], [bound, tlsSecret], { namespace: "edge", serviceAccount: "other" }).resources).toHaveLength(
      1,
    );
  });
});
