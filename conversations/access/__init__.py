"""Who is calling, for whom do they speak, and what may they see?"""
