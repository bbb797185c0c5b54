/** What is for sale, and how much of it is left (the inventory is slow: the mesh gives it 500 ms). */
import { me, serve } from "./service.ts";

const ITEMS = ["teapot", "kettle", "cup"];

serve(async (call) => {
  const stock = await call.get("http://inventory/stock");
  return { status: 200, body: { from: me, items: ITEMS, stock: stock.status === 200 ? stock.body : "unknown" } };
});
