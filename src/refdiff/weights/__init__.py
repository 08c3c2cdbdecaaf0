"""Where models come from: `manifest` names them, `hub` fetches them, `check` verifies them, `load` loads them."""
