import { expect, test } from "vitest";
import { EventLines } from "./console.ts";

test("acknowledgements of one change are told in one line, when all have answered", () => {
  const lines = new EventLines();
  lines.begin();
  expect(lines.linesOf({ type: "push", proxy: "a.default", resourceType: "RDS" })).toEqual([]);
  expect(lines.linesOf({ type: "push", proxy: "b.default", resourceType: "RDS" })).toEqual([]);
  expect(lines.linesOf({ type: "ack", proxy: "b.default", resourceType: "RDS" })).toEqual([]);
  expect(lines.linesOf({ type: "ack", proxy: "a.default", resourceType: "RDS" })).toEqual([
    "✓ acknowledged by a.default (RDS), b.default (RDS)",
  ]);
});

test("a refusal names the proxy, the kind and the reason", () => {
  const lines = new EventLines();
  lines.begin();
  lines.linesOf({ type: "push", proxy: "a.default", resourceType: "CDS" });
  expect(lines.linesOf({ type: "nack", proxy: "a.default", resourceType: "CDS", detail: "no such thing" })).toEqual([
    "✗ a.default refused CDS: no such thing (it keeps what it had)",
  ]);
});

test("nothing is said of pushes before the mesh is up", () => {
  const lines = new EventLines();
  lines.linesOf({ type: "push", proxy: "a.default", resourceType: "RDS" });
  expect(lines.linesOf({ type: "ack", proxy: "a.default", resourceType: "RDS" })).toEqual([]);
});

test("a finding is told once", () => {
  const lines = new EventLines();
  lines.begin();
  const event = { type: "config", accepted: false, problems: [{ level: "error", text: "a.yaml:3:1: no such field" }] };
  expect(lines.linesOf(event)).toEqual([
    "✗ a.yaml:3:1: no such field",
    "✗ something is refused; what it replaces stays in force",
  ]);
  expect(lines.linesOf(event)).toEqual(["✗ something is refused; what it replaces stays in force"]);
  expect(lines.linesOf({ type: "config", accepted: true, problems: [] })).toEqual(["✓ configuration read"]);
});

test("what is found about proxies is told once, and again when it comes back; what the manifests said already is not", () => {
  const lines = new EventLines();
  lines.begin();
  const known = { level: "warning", text: "a.yaml:3:1: questionable" };
  const secret = { level: "warning", text: "SDS kubernetes://web: there is no Secret edge/web" };
  lines.linesOf({ type: "config", accepted: true, problems: [known] });
  expect(lines.findingLines([known, secret])).toEqual([`! ${secret.text}`]);
  expect(lines.findingLines([known, secret])).toEqual([]);
  expect(lines.findingLines([known])).toEqual([]);
  expect(lines.findingLines([known, secret])).toEqual([`! ${secret.text}`]);
});
