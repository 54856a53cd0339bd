"""What Novaloop does, written against ports: adapters implement them, simulations twin them."""
