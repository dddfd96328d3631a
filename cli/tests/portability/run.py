"""Runs two of the shaders that `scall shaders --out DIR` writes, and compares with numbers.

    python run.py DIR

It needs the package `wgpu` and an adapter, and knows of the library nothing but the folder. Exit code 3 says that there
is no adapter.
"""

import json
import struct
import sys
from pathlib import Path

import wgpu


class Shaders:
    """The folder, and a device to run it on."""

    def __init__(self, folder, device):
        self.folder = Path(folder)
        self.device = device
        shaders = json.loads((self.folder / "manifest.json").read_text())["shaders"]
        self.by_variant = {shader["variant"]: shader for shader in shaders}

    def buffer(self, data):
        usage = wgpu.BufferUsage.STORAGE | wgpu.BufferUsage.COPY_SRC
        return self.device.create_buffer_with_data(data=data, usage=usage)

    def run(self, variant, entry, groups, params, buffers, constants=None):
        """Dispatches `groups` workgroups; `params` and `buffers` go by the names in the manifest."""
        shader = self.by_variant[variant]
        point = next(point for point in shader["entry_points"] if point["name"] == entry)
        uniform = self.device.create_buffer_with_data(data=pack(shader, params), usage=wgpu.BufferUsage.UNIFORM)
        own = {binding["name"]: binding for binding in point["bindings"]}
        given = {"params": uniform, **buffers}
        assert set(own) == set(given), f"{variant}/{entry} binds {sorted(own)}, got {sorted(given)}"
        layout = self.device.create_bind_group_layout(
            entries=[
                {
                    "binding": binding["binding"],
                    "visibility": wgpu.ShaderStage.COMPUTE,
                    "buffer": {"type": binding["use"]},
                }
                for binding in own.values()
            ]
        )
        group = self.device.create_bind_group(
            layout=layout,
            entries=[
                {"binding": own[name]["binding"], "resource": {"buffer": buffer}} for name, buffer in given.items()
            ],
        )
        module = self.device.create_shader_module(code=(self.folder / shader["file"]).read_text())
        pipeline = self.device.create_compute_pipeline(
            layout=self.device.create_pipeline_layout(bind_group_layouts=[layout]),
            compute={"module": module, "entry_point": entry, "constants": constants or {}},
        )
        encoder = self.device.create_command_encoder()
        compute = encoder.begin_compute_pass()
        compute.set_pipeline(pipeline)
        compute.set_bind_group(0, group)
        # Past 65,535 workgroups a grid is folded into two dimensions.
        rows = max(1, -(-groups // 65535))
        compute.dispatch_workgroups(-(-groups // rows), rows)
        compute.end()
        self.device.queue.submit([encoder.finish()])

    def read(self, buffer, code):
        data = self.device.queue.read_buffer(buffer)
        return list(struct.unpack(f"<{len(data) // struct.calcsize(code)}{code}", data))


def pack(shader, params):
    """The bytes of a shader's `Params`."""
    fields = shader["params"]["fields"]
    assert {field["name"] for field in fields} == set(params), f"{shader['variant']} has {fields}, got {params}"
    data = bytearray(shader["params"]["bytes"])
    for field in fields:
        code = {"u32": "<I", "f32": "<f"}[field["type"]]
        struct.pack_into(code, data, field["offset_bytes"], params[field["name"]])
    return bytes(data)


def words(values):
    return struct.pack(f"<{len(values)}I", *values)


def scan(shaders):
    """prim/scan: a prefix sum in two levels. A tile's sum, the sums' own scan, and each tile onto its carry."""
    values = [(i * 2654435761) % 1000 for i in range(10_000)]
    constants = {constant["name"]: constant["default"] for constant in shaders.by_variant["prim/scan"]["constants"]}
    tile = 256 * int(constants["items"])
    tiles = -(-len(values) // tile)
    assert 1 < tiles <= tile
    data, sums = shaders.buffer(words(values)), shaders.buffer(words([0] * tiles))
    nothing = shaders.buffer(words([0]))

    def params(count, carry):
        return {"count": count, "values_base": 0, "sums_base": 0, "inclusive": 0, "carry": carry}

    def run(entry, count, carry, values, sums):
        groups = -(-count // tile)
        shaders.run("prim/scan", entry, groups, params(count, carry), {"values": values, "sums": sums})

    run("reduce_tiles", len(values), 1, data, sums)
    run("scan_tiles", tiles, 0, sums, nothing)
    run("scan_tiles", len(values), 1, data, sums)
    want, total = [], 0
    for value in values:
        want.append(total)
        total += value
    assert shaders.read(data, "I") == want, "prim/scan"
    print(f"prim/scan: {len(values)} sums, the last {want[-1]}")


def four(values):
    """Up to four values as a word: codes of 7 bits, and what they are multiplied by, 2^(exponent - 12)."""
    largest = max(abs(value) for value in values)
    exponent = next(e for e in range(15) if 63 * 2.0 ** (e - 12) >= largest)
    codes = [int(value / 2.0 ** (exponent - 12)) for value in values]
    return exponent << 28 | sum((code & 127) << 7 * place for place, code in enumerate(codes))


def stored(values, form):
    """Values as a page has them, in whole words."""
    if form == "f32":
        data = struct.pack(f"<{len(values)}f", *values)
    elif form == "f16":
        data = struct.pack(f"<{len(values)}e", *values)
    elif form == "i8":
        data = words([four(values[at : at + 4]) for at in range(0, len(values), 4)])
    else:
        # The upper half of an f32; these values need no more.
        data = b"".join(struct.pack("<f", value)[2:] for value in values)
    return data + bytes(-len(data) % 4)


def lookup(shaders, form):
    """table/lookup: rows of 3, 0 and 4 values into an output of two dims."""
    rows = [[1.0, -2.0, 0.5], [], [8.0, 0.25, -1.5, 3.0]]
    # A row begins at a multiple of `alignment`, so that one of f16 begins with a word; ends lie in pairs after the base
    # of their block.
    alignment = {"f32": 1, "i8": 4}.get(form, 2)
    values, ends = [], []
    for row in rows:
        values += [0.0] * (-len(values) % alignment) + row
        ends.append(len(values))
    # An empty row ends where the next one could begin.
    ends[1] += -ends[1] % alignment
    directory = [0, ends[0] | ends[1] << 16, ends[2]]
    ids, dims, unknown = [2, 0, 1, 7], 2, 123.0
    output = shaders.buffer(struct.pack(f"<{len(ids) * dims}f", *[unknown] * len(ids) * dims))
    shaders.run(
        f"table/lookup.{form}",
        "rows",
        1,
        {
            "first_row": 0,
            "rows": len(rows),
            "blocks": 1,
            "shift": 12,
            "alignment": alignment,
            "table_rows": len(rows),
            "count": len(ids),
            "used": len(ids),
            "dims": dims,
        },
        {
            "arena": shaders.buffer(stored(values, form)),
            "directory": shaders.buffer(words(directory)),
            "ids": shaders.buffer(words(ids)),
            "output": output,
            # Not read: `used` says how many ids there are.
            "used_on_device": shaders.buffer(words([0])),
        },
        {"lanes": 1},
    )
    # Cut to two dims, or padded with zeros; an id past the table is an empty row.
    want = [8.0, 0.25, 1.0, -2.0, 0.0, 0.0, 0.0, 0.0]
    got = shaders.read(output, "f")
    assert got == want, f"table/lookup.{form}: {got}, expected {want}"
    print(f"table/lookup.{form}: {got}")


def main():
    adapters = wgpu.gpu.enumerate_adapters_sync()
    if not adapters:
        print("no adapter")
        sys.exit(3)
    adapter = adapters[0]
    print(f"wgpu {wgpu.__version__} on {adapter.summary}")
    shaders = Shaders(sys.argv[1], adapter.request_device_sync())
    scan(shaders)
    forms = [name.removeprefix("table/lookup.") for name in shaders.by_variant if name.startswith("table/lookup.")]
    assert len(forms) >= 2, forms
    for form in forms:
        lookup(shaders, form)


main()
