/** Each analyzer on the smallest set of objects that it speaks about, and on the set that is right. */
import { describe, expect, test } from "vitest";
import { readManifests } from "./read-manifests.ts";
import { analyzers } from "./registry.ts";
import { runAnalysis, type AnalysisOptions } from "./run-analysis.ts";
import { isMessageCode, messageType } from "./messages.ts";

function found(yaml: string, options: Partial<AnalysisOptions> = {}): readonly string[] {
  const { objects, problems } = readManifests(yaml, "f.yaml");
  expect(problems).toEqual([]);
  const { messages } = runAnalysis(objects, analyzers, { namespace: undefined, isComplete: true, ...options });
  return messages.map(({ type, origin, reference }) => `${type.code} ${origin} ${reference.replace("f.yaml:", "")}`);
}

const object = (apiVersion: string, kind: string, name: string, rest: string): string =>
  `apiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: {name: ${name}, namespace: a}\n${rest}\n`;
const networking = (kind: string, name: string, spec: string): string =>
  object("networking.istio.io/v1", kind, name, `spec: ${spec}`);
const files = (...documents: readonly string[]): string => documents.join("---\n");

const namespace = `apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {istio-injection: enabled}}\n`;
const proxied = "{containers: [{name: app, image: app}, {name: istio-proxy, image: a/proxy}]}";
const labelled = (kind: string, name: string, more: string, spec: string): string =>
  `apiVersion: v1\nkind: ${kind}\nmetadata: {name: ${name}, namespace: a, ${more}}\nspec: ${spec}\n`;
const pod = labelled("Pod", "web-1", "labels: {app: web, version: v1}", proxied);
const service = (name: string, ports: string): string =>
  object("v1", "Service", name, `spec: {selector: {app: web}, ports: [${ports}]}`);
const web = service("web", "{name: http, port: 80, protocol: TCP}");
const deployment = (template: string): string =>
  object("apps/v1", "Deployment", "web", `spec: {template: {metadata: {labels: {app: web}}, spec: ${template}}}`);
const mesh = files(namespace, pod, web);

const route = (destination: string, more = ""): string =>
  networking(
    "VirtualService",
    "vs",
    `{hosts: [web.example.com], ${more} http: [{route: [{destination: ${destination}}]}]}`,
  );
const gateway = (name: string, servers: string, selector = "{istio: ingressgateway}"): string =>
  networking("Gateway", name, `{selector: ${selector}, servers: [${servers}]}`);
const server = (host: string, more = ""): string =>
  `{port: {number: 80, name: http, protocol: HTTP}, hosts: ["${host}"]${more}}`;
const filter = (entry: string, more = ""): string =>
  object("networking.istio.io/v1alpha3", "EnvoyFilter", "f", `spec: {${more} configPatches: [${entry}]}`);
const telemetry = (name: string, spec: string): string =>
  object("telemetry.istio.io/v1", "Telemetry", name, `spec: ${spec}`);
const sidecar = (name: string, spec: string): string =>
  networking("Sidecar", name, `{egress: [{hosts: ["./*"]}] ${spec}}`);
const entry = (name: string, protocol: string, more = ""): string =>
  networking(
    "ServiceEntry",
    name,
    `{hosts: [out.example.com], resolution: DNS, ports: [{number: 90, name: p, protocol: ${protocol}}] ${more}}`,
  );
const policy = (spec: string): string => object("security.istio.io/v1", "AuthorizationPolicy", "p", `spec: ${spec}`);
const hook = (kind: string, name: string, webhook: string): string =>
  `apiVersion: admissionregistration.k8s.io/v1\nkind: ${kind}\nmetadata: {name: ${name}}\nwebhooks: [${webhook}]\n`;
const crd = (name: string, version: string): string =>
  `apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: ${name}, annotations: {gateway.networking.k8s.io/bundle-version: ${version}}}\nspec: {}\n`;
const injector = (values: string): string =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio-sidecar-injector, namespace: istio-system}\ndata: {values: '${values}'}\n`;

describe("a mesh that is right", () => {
  test("has no findings", () => {
    const all = files(
      mesh,
      route("{host: web, subset: v1}", "gateways: [gw, mesh],"),
      networking("DestinationRule", "dr", "{host: web, subsets: [{name: v1, labels: {version: v1}}]}"),
      gateway("gw", server("*.example.com")),
      entry("out", "HTTP"),
      policy("{selector: {matchLabels: {app: web}}, rules: [{from: [{source: {namespaces: [a]}}]}]}"),
      sidecar("default", ""),
      telemetry("t", "{accessLogging: [{providers: [{name: envoy}]}]}"),
      deployment(proxied),
    );
    expect(found(all)).toEqual([]);
  });
});

describe("an analyzer", () => {
  test.each<readonly [string, string, readonly string[]]>([
    ["a route to a host that nobody defines", files(mesh, route("{host: nobody}")), ["IST0101 VirtualService a/vs 18"]],
    ["a port that the Service does not have", files(mesh, route("{host: web, port: {number: 81}}")), ["IST0101"]],
    [
      "a Service of several ports, and a route that names none",
      files(namespace, pod, service("web", "{name: http, port: 80}, {name: http-b, port: 81}"), route("{host: web}")),
      ["IST0112"],
    ],
    ["a host that another namespace keeps to itself", files(mesh, entry("out", "HTTP", `, exportTo: ["."]`)), []],
    [
      "a wildcard that covers the host",
      files(
        mesh,
        networking("ServiceEntry", "w", `{hosts: ["*.out.com"], ports: [{number: 80, name: h, protocol: HTTP}]}`),
        route("{host: b.out.com}"),
      ),
      [],
    ],
    [
      "a gateway that does not exist",
      files(mesh, route("{host: web}", "gateways: [none],")),
      ["IST0101 VirtualService a/vs", "IST0132 VirtualService a/vs"],
    ],
    [
      "a gateway that an implementation made",
      files(mesh, route("{host: web}", "gateways: [x~istio-autogenerated-k8s-gateway~y],")),
      ["IST0106", "IST0165"],
    ],
    [
      "a host that the gateway does not serve",
      files(mesh, gateway("gw", server("other.com")), route("{host: web}", "gateways: [gw],")),
      ["IST0132"],
    ],
    [
      "a host that the gateway keeps for others",
      files(mesh, gateway("gw", server("b/*")), route("{host: web}", "gateways: [gw],")),
      ["IST0132"],
    ],
    [
      "a subset that selects no pod",
      files(mesh, networking("DestinationRule", "dr", "{host: web, subsets: [{name: v2, labels: {version: v2}}]}")),
      ["IST0173"],
    ],
    ["a DestinationRule for nobody", files(mesh, networking("DestinationRule", "dr", "{host: nobody}")), ["IST0174"]],
    [
      "TLS without an authority",
      files(
        mesh,
        networking(
          "DestinationRule",
          "dr",
          "{host: web, trafficPolicy: {tls: {mode: MUTUAL, clientCertificate: c, privateKey: k}}}",
        ),
      ),
      ["IST0128"],
    ],
    [
      "TLS of one port without an authority",
      files(
        mesh,
        networking(
          "DestinationRule",
          "dr",
          "{host: web, trafficPolicy: {portLevelSettings: [{port: {number: 80}, tls: {mode: SIMPLE}}]}}",
        ),
      ),
      ["IST0129"],
    ],
    [
      "two gateways with the same host",
      files(mesh, gateway("g1", server("x.com")), gateway("g2", server("x.com"))),
      ["IST0145 Gateway a/g1", "IST0145 Gateway a/g2"],
    ],
    [
      "two gateways with the same host on other addresses",
      files(mesh, gateway("g1", server("x.com", `, bind: 127.0.0.2`)), gateway("g2", server("x.com"))),
      [],
    ],
    ["a gateway of nobody", files(mesh, gateway("g", server("x.com"), "{app: none}")), ["IST0101 Gateway a/g"]],
    [
      "a gateway's port that no Service offers",
      files(mesh, gateway("g", server("x.com").replace("80", "8081"))),
      ["IST0162"],
    ],
    [
      "a gateway's Secret that is not there",
      files(
        mesh,
        gateway(
          "g",
          `{port: {number: 443, name: https, protocol: HTTPS}, hosts: ["x.com"], tls: {mode: SIMPLE, credentialName: none}}`,
        ),
      ),
      ["IST0101 Gateway a/g"],
    ],
    [
      "a gateway's Secret that holds no certificate",
      files(
        mesh,
        `apiVersion: v1\nkind: Secret\nmetadata: {name: bad, namespace: istio-system}\nstringData: {tls.crt: x, tls.key: y}\n`,
        gateway(
          "g",
          `{port: {number: 443, name: https, protocol: HTTPS}, hosts: ["x.com"], tls: {mode: SIMPLE, credentialName: bad}}`,
        ),
      ),
      ["IST0161"],
    ],
    ["a TCP ServiceEntry without addresses", files(mesh, entry("e", "TCP")), ["IST0134 ServiceEntry a/e"]],
    [
      "two ServiceEntries that disagree on a protocol",
      files(mesh, entry("e", "HTTP"), entry("f", "GRPC")),
      ["IST0177 ServiceEntry a/e", "IST0177 ServiceEntry a/f"],
    ],
    [
      "a namespace that does not say",
      files(mesh, `apiVersion: v1\nkind: Namespace\nmetadata: {name: b}\n`),
      ["IST0102 Namespace b 17"],
    ],
    [
      "a namespace where injection is the default",
      files(
        mesh,
        injector(
          `{"sidecarInjectorWebhook": {"enableNamespacesByDefault": true}, "global": {"proxy": {"image": "a/proxy"}}}`,
        ),
        `apiVersion: v1\nkind: Namespace\nmetadata: {name: b}\n`,
      ),
      ["IST0148"],
    ],
    [
      "a namespace that says it twice",
      files(
        mesh,
        `apiVersion: v1\nkind: Namespace\nmetadata: {name: b, labels: {istio-injection: enabled, istio.io/rev: x}}\n`,
      ),
      ["IST0123"],
    ],
    [
      "a pod without its sidecar",
      files(namespace, labelled("Pod", "p", "labels: {}", "{containers: [{name: app}]}")),
      ["IST0103"],
    ],
    [
      "sidecars of an image of yesterday",
      files(mesh, injector(`{"global": {"hub": "h", "tag": "1", "proxy": {"image": "proxyv2"}}}`)),
      ["IST0158 Namespace a"],
    ],
    [
      "image: auto on a pod",
      files(namespace, labelled("Pod", "p", "labels: {}", "{containers: [{name: istio-proxy, image: auto}]}")),
      ["IST0147"],
    ],
    [
      "image: auto that nobody replaces",
      files(mesh, deployment("{containers: [{name: istio-proxy, image: auto}]}")),
      ["IST0146"],
    ],
    [
      "two Sidecars for one pod",
      files(
        mesh,
        sidecar("s1", ", workloadSelector: {labels: {app: web}}"),
        sidecar("s2", ", workloadSelector: {labels: {version: v1}}"),
      ),
      ["IST0110", "IST0110"],
    ],
    ["two Sidecars for a namespace", files(mesh, sidecar("s1", ""), sidecar("s2", "")), ["IST0111", "IST0111"]],
    ["a Sidecar for nobody", files(mesh, sidecar("s1", ", workloadSelector: {labels: {app: none}}")), ["IST0101"]],
    [
      "two Telemetries for one pod",
      files(
        mesh,
        telemetry("t1", "{selector: {matchLabels: {app: web}}}"),
        telemetry("t2", "{selector: {matchLabels: {app: web}}}"),
      ),
      ["IST0159", "IST0159"],
    ],
    [
      "two Telemetries for a namespace",
      files(mesh, telemetry("t1", "{}"), telemetry("t2", "{}")),
      ["IST0160", "IST0160"],
    ],
    ["access logging without a provider", files(mesh, telemetry("t1", "{accessLogging: [{}]}")), ["IST0157"]],
    ["a policy for nobody", files(mesh, policy("{selector: {matchLabels: {app: none}}, rules: [{}]}")), ["IST0127"]],
    [
      "a policy about a namespace that is not there",
      files(mesh, policy("{rules: [{from: [{source: {namespaces: [none]}}]}]}")),
      ["IST0101"],
    ],
    [
      "a name of a port that says no protocol",
      files(namespace, pod, service("web", "{name: things, port: 80}")),
      ["IST0118 Service a/web"],
    ],
    [
      "an ExternalName with a TCP port",
      files(
        mesh,
        object(
          "v1",
          "Service",
          "ext",
          "spec: {type: ExternalName, externalName: x.com, ports: [{name: tcp, port: 90}]}",
        ),
      ),
      ["IST0150"],
    ],
    [
      "Services that disagree on a protocol",
      files(mesh, service("u", "{name: http, port: 80, protocol: UDP}"), deployment(proxied)),
      ["IST0116"],
    ],
    [
      "Services that lead to one port from several",
      files(mesh, service("u", "{name: http, port: 81, targetPort: 80}"), deployment(proxied)),
      ["IST0137"],
    ],
    [
      "an application that runs as the sidecar's user",
      files(mesh, deployment("{securityContext: {runAsUser: 1337}, containers: []}")),
      ["IST0144"],
    ],
    [
      "an annotation that is none",
      files(mesh, labelled("Service", "s", "annotations: {networking.istio.io/exportToo: x}", "{ports: []}")),
      ["IST0108"],
    ],
    [
      "an annotation in the wrong place",
      files(mesh, labelled("Service", "s", "annotations: {sidecar.istio.io/proxyImage: x}", "{ports: []}")),
      ["IST0107"],
    ],
    [
      "an annotation that is deprecated",
      files(mesh, labelled("Pod", "p", `annotations: {sidecar.istio.io/inject: "true"}, labels: {}`, proxied)),
      ["IST0135"],
    ],
    [
      "an annotation that can't be read",
      files(mesh, labelled("Pod", "p", `annotations: {traffic.sidecar.istio.io/excludeInboundPorts: "a,b"}`, proxied)),
      ["IST0125"],
    ],
    [
      "a status that refuses",
      files(
        mesh,
        `${policy("{rules: [{}]}")}status: {conditions: [{type: ZtunnelAccepted, status: "False", reason: r, message: m}]}\n`,
      ),
      ["IST0171"],
    ],
    [
      "a webhook that calls nobody",
      hook(
        "MutatingWebhookConfiguration",
        "i",
        "{name: x.istio.io, clientConfig: {service: {namespace: a, name: none}}, namespaceSelector: {matchLabels: {q: r}}}",
      ),
      ["IST0139"],
    ],
    [
      "webhooks that overlap",
      files(
        hook("MutatingWebhookConfiguration", "i", "{name: x.istio.io, clientConfig: {url: u}}"),
        hook("MutatingWebhookConfiguration", "j", "{name: y.istio.io, clientConfig: {url: u}}"),
      ),
      ["IST0139", "IST0139"],
    ],
    [
      "a control plane elsewhere, by address",
      hook("ValidatingWebhookConfiguration", "istio-validator", `{name: x, clientConfig: {url: "https://1.2.3.4/x"}}`),
      ["IST0164"],
    ],
    [
      "a control plane elsewhere, by nothing",
      hook("ValidatingWebhookConfiguration", "istio-validator", `{name: x, clientConfig: {}}`),
      ["IST0163"],
    ],
    ["CRDs of Gateway API that are too old", crd("tlsroutes.gateway.networking.k8s.io", "v1.4.9"), ["IST0176"]],
    ["CRDs of Gateway API that are new enough", crd("tlsroutes.gateway.networking.k8s.io", "v1.5.0-rc.1"), []],
    [
      "a relative patch without a priority",
      filter("{applyTo: HTTP_FILTER, patch: {operation: INSERT_BEFORE, value: {}}}"),
      ["IST0133", "IST0151"],
    ],
    [
      "a relative patch with one",
      filter("{applyTo: HTTP_FILTER, patch: {operation: INSERT_BEFORE, value: {}}}", "priority: 3,"),
      ["IST0133"],
    ],
    [
      "REPLACE where it does nothing",
      filter("{applyTo: CLUSTER, patch: {operation: REPLACE, value: {}}}"),
      ["IST0152", "IST0133"],
    ],
    [
      "ADD where it does nothing",
      filter("{applyTo: HTTP_ROUTE, patch: {operation: ADD, value: {}}}"),
      ["IST0153", "IST0133"],
    ],
    [
      "REMOVE where it does nothing",
      filter("{applyTo: HTTP_ROUTE, patch: {operation: REMOVE}}"),
      ["IST0154", "IST0133"],
    ],
    [
      "a relative patch of one that counts for a version",
      filter(
        `{applyTo: HTTP_FILTER, match: {proxy: {proxyVersion: "1.*"}}, patch: {operation: ADD, value: {name: n}}}, {applyTo: HTTP_FILTER, patch: {operation: INSERT_AFTER, value: {name: n}}}`,
      ),
      ["IST0133", "IST0155"],
    ],
    [
      "a field on its way out",
      files(mesh, route("{host: web}").replace("[{route", "[{fault: {delay: {percent: 5, fixedDelay: 1s}}, route")),
      ["IST0002"],
    ],
    [
      "keys of tokens from anywhere",
      files(
        mesh,
        object("security.istio.io/v1", "RequestAuthentication", "ra", "spec: {}"),
        `apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: istiod, namespace: istio-system, labels: {app: istiod, istio: pilot}}\nspec: {template: {spec: {containers: [{name: d}]}}}\n`,
      ),
      ["IST0175"],
    ],
    [
      "a selector on the pods of a Kubernetes Gateway",
      files(
        mesh,
        labelled("Pod", "g", "labels: {gateway.networking.k8s.io/gateway-name: g}", proxied),
        policy("{selector: {matchLabels: {gateway.networking.k8s.io/gateway-name: g}}, rules: [{}]}"),
      ),
      ["IST0166"],
    ],
    [
      "routes by claims that nobody validates",
      files(
        mesh,
        gateway("gw", server("*")),
        networking(
          "VirtualService",
          "vs",
          `{hosts: [w.com], gateways: [gw], http: [{match: [{headers: {"@request.auth.claims.sub": {exact: x}}}], route: [{destination: {host: web}}]}]}`,
        ),
      ),
      ["IST0149"],
    ],
  ])("names %s", (_, yaml, expected) => {
    const said = found(yaml);
    const codes = expected.map((line) => line.split(" ")[0] ?? "");
    expect(said.map((line) => line.split(" ")[0])).toEqual(codes);
    for (const [index, line] of expected.entries()) expect(said[index]).toContain(line);
  });

  test("an unknown registry of a network", () => {
    const meshNetworks = {
      networks: { n: { endpoints: [{ fromRegistry: "nowhere" }, { fromRegistry: "Kubernetes" }] } },
    };
    expect(found(mesh, { meshNetworks })).toEqual(["IST0126 MeshNetworks istio-system/meshnetworks meshnetworks:1"]);
  });
});

describe("the analysis", () => {
  test("without all objects nobody is told that one is missing", () => {
    const yaml = files(route("{host: nobody}"), gateway("g", server("x"), "{app: none}"), sidecar("s", ""));
    expect(found(yaml, { isComplete: false })).toEqual([]);
  });

  test("objects without a namespace have the chosen one, or none", () => {
    const yaml = `apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: vs}\nspec: {hosts: [w], http: [{route: [{destination: {host: w, subset: s}}]}]}\n`;
    expect(found(yaml, { isComplete: false })).toEqual(["IST0101 VirtualService vs 4"]);
    expect(found(yaml, { isComplete: false, namespace: "b" })).toEqual(["IST0101 VirtualService b/vs 4"]);
  });

  test("a Deployment stands for the pods that it will make", () => {
    const made = files(
      namespace,
      deployment("{containers: [{name: app}]}"),
      web,
      networking("DestinationRule", "dr", "{host: web, subsets: [{name: all, labels: {app: web}}]}"),
      sidecar("s", ", workloadSelector: {labels: {app: web}}"),
    );
    expect(found(made)).toEqual([]);
    expect(found(made.replace("{app: web}}]", "{app: other}}]"))).toEqual(["IST0173 DestinationRule a/dr 15"]);
  });

  test("a message is said once, however many roads lead to it", () => {
    const twice = files(mesh, route("{host: nobody}, weight: 1}, {destination: {host: nobody}, weight: 1"));
    expect(found(twice)).toHaveLength(1);
  });

  test("a JSON file has no lines", () => {
    const text = JSON.stringify({
      apiVersion: "networking.istio.io/v1",
      kind: "Sidecar",
      metadata: { name: "s" },
      spec: {},
    });
    const { objects } = readManifests(text, "f.json");
    const { messages } = runAnalysis(objects, analyzers, { namespace: undefined });
    expect(messages.map(({ reference }) => reference)).toEqual(["f.json"]);
  });

  test("namespaces of Kubernetes are nobody's business", () => {
    expect(found(`apiVersion: v1\nkind: Namespace\nmetadata: {name: kube-system}\n`)).toEqual([]);
  });
});

describe("the catalogue of messages", () => {
  test("codes have names and levels; those that are retired are not there", () => {
    expect(messageType("IST0101")).toEqual({ code: "IST0101", name: "ReferencedResourceNotFound", level: "Error" });
    for (const retired of ["IST0104", "IST0119", "toString"]) expect(isMessageCode(retired)).toBe(false);
  });

  test("every analyzer has a name of its own", () => {
    expect(new Set(analyzers.map(({ name }) => name)).size).toBe(analyzers.length);
  });
});
