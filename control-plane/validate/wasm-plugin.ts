/** extensions.istio.io WasmPlugin and TrafficExtension, as istiod checks them. */
import { fieldsOf, listOf, numberOf, stringOf, type Fields } from "../model/read-fields.ts";
import type { Findings } from "./findings.ts";
import { expectSelector, expectTargetRefs } from "./shared-checks.ts";

const MAX_SECRET_NAME = 253;
const MAX_NAME = 256;
const MAX_LUA_BYTES = 65_536;

export function validateWasmPlugin(findings: Findings, spec: Fields): void {
  expectTargetRefs(findings, spec);
  expectSelector(findings, "spec.selector", spec["selector"]);
  expectPlugin(findings, "spec", spec);
  expectTraffic(findings, spec["match"]);
}

export function validateTrafficExtension(findings: Findings, spec: Fields): void {
  const { wasm, lua } = spec;
  if ((wasm === undefined) === (lua === undefined)) findings.refuse("spec", "set exactly one of wasm and lua.");
  expectTargetRefs(findings, spec);
  expectSelector(findings, "spec.selector", spec["selector"]);
  if (lua !== undefined) {
    const code = stringOf(fieldsOf(lua)["inlineCode"]) ?? "";
    if (code === "") findings.refuse("spec.lua.inlineCode", "the program is empty.");
    if (Buffer.byteLength(code) > MAX_LUA_BYTES) {
      findings.refuse("spec.lua.inlineCode", `the program is longer than ${MAX_LUA_BYTES} bytes.`);
    }
  }
  if (wasm !== undefined) expectPlugin(findings, "spec.wasm", fieldsOf(wasm));
  expectTraffic(findings, spec["match"]);
}

function expectPlugin(findings: Findings, path: string, plugin: Fields): void {
  const url = stringOf(plugin["url"]) ?? "";
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(url)?.[1]?.toLowerCase() ?? "";
  if (url === "") findings.refuse(`${path}.url`, "url is missing; it says where the plugin is.");
  else if (!URL.canParse(scheme === "" ? `http://${url}` : url)) {
    findings.refuse(`${path}.url`, `${JSON.stringify(url)} is no URL.`);
  } else if (!["", "file", "http", "https", "oci"].includes(scheme)) {
    findings.refuse(`${path}.url`, `must be a URL of file, http, https or oci, found ${scheme}.`);
  }
  const sha256 = stringOf(plugin["sha256"]) ?? "";
  if (sha256 !== "" && !/^[a-f0-9]{64}$/.test(sha256)) {
    findings.refuse(`${path}.sha256`, "must be 64 digits of a-f and 0-9.");
  }
  expectLength(findings, `${path}.imagePullSecret`, plugin["imagePullSecret"], MAX_SECRET_NAME);
  expectLength(findings, `${path}.pluginName`, plugin["pluginName"], MAX_NAME);
  const names = new Set<string>();
  for (const [index, variable] of listOf(fieldsOf(plugin["vmConfig"])["env"]).map(fieldsOf).entries()) {
    const at = `${path}.vmConfig.env[${index}]`;
    const name = stringOf(variable["name"]) ?? "";
    if (name === "") findings.refuse(`${at}.name`, "a variable needs a name.");
    else if (names.has(name)) findings.refuse(`${at}.name`, `${name} stands there twice.`);
    names.add(name);
    expectLength(findings, `${at}.name`, name, MAX_NAME);
    if (variable["valueFrom"] === "HOST" && (stringOf(variable["value"]) ?? "") !== "") {
      findings.refuse(`${at}.value`, "with valueFrom HOST the value comes from the host; remove value, or say INLINE.");
    }
  }
}

function expectLength(findings: Findings, path: string, value: unknown, most: number): void {
  const length = (stringOf(value) ?? "").length;
  if (length > most) findings.refuse(path, `must have at most ${most} characters, found ${length}.`);
}

function expectTraffic(findings: Findings, match: unknown): void {
  for (const [index, selector] of listOf(match).map(fieldsOf).entries()) {
    for (const [at, port] of listOf(selector["ports"]).map(fieldsOf).entries()) {
      const number = numberOf(port["number"]) ?? 0;
      if (number < 1 || number > 65535) {
        findings.refuse(`spec.match[${index}].ports[${at}].number`, `must be a port from 1 to 65535, found ${number}.`);
      }
    }
  }
}
