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
